// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/error_topics.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace rutile {
namespace {

// Kinds of errors first, in the order of ErrorCode from kType on.
constexpr ErrorTopic kTopics[] = {
    {"RUTILE-E0001", "TypeError: a value of another type or dtype than is taken",
     R"(The message begins with the op or function in brackets and names the argument, what it takes and what
it got; then the operands of an op with dtype and shape, the Cell and your line.

    [linear] weight must be floating point, got i32 | x f32[8,3]@cpu, weight i32[4,3]@cpu | in Cell Net.fc

Cures: x.astype(rutile.float32) for a tensor, Tensor(value, dtype) for data, the name that "did you mean"
gives for an argument. Numbers are weakly typed: a Python number takes the dtype of the tensor beside it.)"},
    {"RUTILE-E0002", "ValueError: shapes or values that do not fit",
     R"(The message names the op, what it expects, what it got, then each operand as dtype[shape]@device.

    [matmul] inner sizes differ: 4 and 3 | x f32[2,4]@cpu, y f32[3,5]@cpu | in Cell Net.fc | at net.py:12

Cures: print x.shape before that line; Flatten between convolutions and Dense; the first size of data is
the batch; images are [n, c, h, w]. "at" is your line, "in Cell" the path of attributes to the layer.)"},
    {"RUTILE-E0003", "IndexError: an index, axis or label out of range",
     R"(The message names the index, where it stands and the range that is allowed.

    [cross_entropy] label 10 at [3] is out of range: expects 0 to 9 | logits f32[8,10]@cpu, labels i32[8]@cpu

Cures: labels count from 0; the last layer has as many outputs as there are classes; ids are below the
size of the embedding's table; ignore_index for what is to be left out. An axis out of range is a
ValueError as well, as NumPy's.)"},
    {"RUTILE-E0004", "RuntimeError: not possible in the state that things are in",
     R"(The message says which state: a tensor whose trace has ended, an iterator that was closed, a gradient
asked for outside of its scope. Errors of compilation have codes of their own, RUTILE-E01xx.)"},
    {"RUTILE-E0005", "UnsupportedError: this combination has no implementation",
     R"(The message names what is not there: a kernel for a dtype or device, a file of a kind that is not read,
a mode. It is also Python's NotImplementedError. RUTILE_LOG=dispatch says for each kernel why it did not
take a call.)"},
    {"RUTILE-E0006", "OutOfMemoryError: the memory is not there",
     R"(Freeing tensors and calling again works. Cures: a smaller batch, recompute() of Cells, amp_level="O2";
rutile.explain(net, x) shows what a compiled step needs, RUTILE_LOG=memory what it took.)"},
    {"RUTILE-E0007", "NotFoundError: a file or folder is not there",
     R"(The message has the path as it was looked for. It is also Python's FileNotFoundError.)"},
    {"RUTILE-E0008", "IOError: reading or writing failed",
     R"(The message has the path and the system's reason (permission, no space). Files are written beside
their place and renamed: what was there before is whole. It is also Python's OSError.)"},
    {"RUTILE-E0009", "Interrupted: Ctrl-C",
     R"(Python's KeyboardInterrupt. Parameters hold the values of the last finished step.)"},
    {"RUTILE-E0010", "InternalError: a mistake of Rutile's own",
     R"(Please report it with the whole message, the output of python -m rutile doctor, and the few lines that
lead to it. RUTILE_VERIFY=1 checks graphs after each pass.)"},
    {"RUTILE-E0101", "A traced function reads the value of a tensor",
     R"(Compiled functions are traced: they run once with tensors that have shapes and dtypes, but no values yet.
if, while, float(), int(), item(), asnumpy(), print and formatting need values.

    @rutile.jit
    def f(x):
        if x.sum() > 0:          # becomes ops.cond by itself where the branches only compute
            log.append(x)        # ... which this does not: it runs as written, or is this error
        return x

`if`, `while` and `for` over tensors become ops.cond and ops.while_loop where what stands in them assigns
names and nothing else; the line "as ops:" says what was in the way. With set_context(jit_syntax_level=STRICT)
or jit(fullgraph=True) that is an error, otherwise the function runs uncompiled with one warning.
Cures: ops.where(c, a, b) chooses without a branch; ops.cond and ops.while_loop branch and loop in the
graph; return the tensor and read it outside; what is the same at each call is an argument that is no Tensor.)"},
    {"RUTILE-E0102", "A tensor of a trace that has ended is used",
     R"(It was kept in an object that is not followed while a function was traced, or in the body of a loop or branch.
In a compiled function it never had a value.

    kept = queue.Queue()

    @rutile.jit
    def f(x):
        kept.put(x * 2)          # a symbol, not a tensor; lists, dicts and attributes are filled in each call
        return x

Cures: return it from the function; a Parameter with requires_grad=False holds what lasts between calls.)"},
    {"RUTILE-E0103", "A shape depends on values",
     R"(nonzero, unique, masked_select and x[mask] give as many elements as the values say. A graph has
fixed shapes.
Cures: ops.where(mask, x, 0) and a sum divided by mask.sum() keep the shape; topk and sort have a fixed
size; do it outside of the compiled function.)"},
    {"RUTILE-E0104", "Python code that cannot become part of a graph",
     R"(A branch or loop over a tensor's value may assign names that hold tensors, numbers, strings, None and
tuples of them. Assigning attributes, changing lists and dicts, print, try, with, yield, calls of functions
with such effects, values of different shapes or types in two branches cannot: both branches are traced.
Cures: assign names and store them after the branch; the same shape and dtype on both ways.)"},
    {"RUTILE-E0105", "A loop's carry changes its shape or dtype",
     R"(Each value that ops.while_loop or scan hands from turn to turn keeps shape and dtype.

    [while_loop] carry 0 enters the body as f32[2]@cpu and leaves it as f32[4]@cpu

Cures: a tensor of the final size, filled turn by turn; astype() to the dtype of the start.)"},
    {"RUTILE-E0106", "The ways of a branch give different results",
     R"(Both functions of ops.cond (both ways of an `if` over a tensor) give as many tensors, of the same shapes
and dtypes. Eagerly one way runs and gives what it likes; a compiled function with such branches runs as it
is written, with a warning, and is an error with fullgraph=True or jit_syntax_level=STRICT.
Cures: pad or slice outside of the branch, astype() in it.)"},
    {"RUTILE-E0107", "The gradient of a loop needs a bound",
     R"(Backward keeps the carries of each iteration, so the gradient of a compiled while_loop needs to know how
many there can be: ops.while_loop(test, body, carry, max_iterations=n). Eagerly it needs none.)"},
    {"RUTILE-E0108", "A traced function takes or gives what a graph cannot hold",
     R"(Arguments may be tensors, and plain values, tuples, lists and dicts of them, which compile once for each
value. Results are tensors in tuples, lists and dicts. Objects that can change (bytearray, own classes)
are captured from around the function instead, or stay outside.)"},
    {"RUTILE-E0109", "A compiled function reads what it sets to another value in each call",
     R"(A compiled function may set what it reads: attributes, globals, variables of closures, entries of lists, dicts,
sets and arrays. Each call gives and leaves what it would uncompiled: numbers that lead back to values that
were there before are compiled once for each, lists and attributes that are only written are filled in each
call. What is new in each call compiles anew in each, and after some of them the function runs as it is
written, with one warning: a counter, an iterator, the random numbers of Python and NumPy, a tensor that the
next call reads. With set_context(jit_syntax_level=STRICT) or jit(fullgraph=True) that is this error.

    def construct(self, x):
        self.calls += 1                      # another number in each call
        self.mean = 0.9 * self.mean + x      # a tensor that the next call reads
        return x * self.calls * random.random()

Cures: a Parameter with requires_grad=False, written by ops.assign, holds tensors and counters between calls;
ops.rand and nn.Dropout draw in each call; pass what changes as a Tensor; count outside of the function.)"},
};

constexpr size_t kFirstKind = static_cast<size_t>(ErrorCode::kType);
constexpr std::string_view kPrefix = "RUTILE-E";
constexpr size_t kDigits = 4;

const ErrorTopic* find_topic(std::string_view code) {
  const auto* it = std::find_if(std::begin(kTopics), std::end(kTopics),
                                [&](const ErrorTopic& t) { return t.code == code; });
  return it == std::end(kTopics) ? nullptr : it;
}

}  // namespace

std::span<const ErrorTopic> error_topics() { return kTopics; }

const ErrorTopic& topic_of(const Error& e) {
  const std::string_view text = e.message();
  const size_t at = text.find(kPrefix);
  if (at != std::string_view::npos) {
    if (const ErrorTopic* t = find_topic(text.substr(at, kPrefix.size() + kDigits))) return *t;
  }
  const size_t kind = static_cast<size_t>(e.code());
  return kTopics[kind < kFirstKind ? static_cast<size_t>(ErrorCode::kInternal) - kFirstKind
                                   : kind - kFirstKind];
}

std::string explain_error(std::string_view code) {
  std::string_view digits = code;
  digits.remove_prefix(std::min(digits.find_first_of("0123456789"), digits.size()));
  int number = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size()) {
    for (const ErrorTopic& t : kTopics) {
      int own = 0;
      std::from_chars(t.code.data() + kPrefix.size(), t.code.data() + t.code.size(), own);
      if (own == number) return cat(t.code, ": ", t.title, "\n\n", t.text, "\n");
    }
  }
  std::string known;
  for (const ErrorTopic& t : kTopics) known += cat("\n  ", t.code, "  ", t.title);
  throw_error(ErrorCode::kValue, cat("no error has the code '", code, "'; there are", known));
}

}  // namespace rutile
