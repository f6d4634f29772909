// SPDX-License-Identifier: Apache-2.0
#include "rutile/apps/support/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>

#include "rutile/core/device_settings.h"
#include "rutile/core/interrupt.h"
#include "rutile/core/rng.h"
#include "rutile/core/thread.h"
#include "rutile/dist/backend.h"
#include "rutile/dist/group.h"
#include "rutile/dist/spawn.h"
#include "rutile/ops/random.h"
#include "rutile/train/text.h"

namespace rutile::apps {
namespace {

constexpr int kExitError = 1, kExitUsage = 2, kExitInterrupted = 130;

// What the user may leave open.
struct Given {
  std::optional<int64_t> image_size, batch_size, epochs, steps;
  std::optional<std::string> precision;
  std::optional<double> lr;
};

std::string number(int64_t v) { return std::to_string(v); }
std::string number(double v) { return cat(v); }
std::string number(const std::string& v) { return v; }

// "1000 [64; synthetic: 16]": the first recipe's value, then what differs.
template <class T>
std::string defaults(const Program& program, T Recipe::*field) {
  const std::string first = number(program.recipes[0].*field);
  std::string text = cat(" [", first);
  for (const Recipe& r : program.recipes) {
    const std::string own = number(r.*field);
    if (own != first) text += cat("; ", r.dataset, ": ", own);
  }
  return text + "]";
}

std::string dataset_names(const Program& program) {
  std::string names;
  for (const Recipe& r : program.recipes) names += cat(names.empty() ? "" : ", ", r.dataset);
  return program.other_dataset.empty() ? names : cat(names, " or ", program.other_dataset);
}

CLI::Validator positive_number() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        char* end = nullptr;
        const double v = std::strtod(text.c_str(), &end);
        if (*end == '\0' && std::isfinite(v) && v > 0) return "";
        return cat("'", text, "' is no positive number");
      },
      "");
}

CLI::Validator whole_number(int64_t least, int64_t most) {
  return CLI::Validator(
      [=](std::string& text) -> std::string {
        char* end = nullptr;
        errno = 0;
        const long long v = std::strtoll(text.c_str(), &end, 10);
        if (!text.empty() && *end == '\0' && errno == 0 && v >= least && v <= most) return "";
        return cat("'", text, "' is no whole number from ", least, " to ", most);
      },
      "");
}

CLI::Validator one_of(std::vector<std::string> words) {
  return CLI::Validator(
      [words](std::string& text) -> std::string {
        std::string known;
        for (const std::string& w : words) {
          if (w == text) return "";
          known += cat(known.empty() ? "" : ", ", w);
        }
        return cat("'", text, "' is none of ", known);
      },
      "");
}

CLI::Validator remat_size() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        graph::Remat ignored;
        return graph::parse_remat(text, &ignored).message();
      },
      "");
}

constexpr int64_t kMany = int64_t{1} << 40;

void add_data_options(CLI::App& app, const Program& program, Options* o, Given* given) {
  const std::string first = program.recipes[0].dataset;
  o->dataset = first;
  app.add_option("--dataset", o->dataset, cat(dataset_names(program), " [", first, "]"));
  app.add_option("--data", o->data,
                 "folder of the data set [fashion-mnist: where Debian's package "
                 "dataset-fashion-mnist puts it]");
  if (program.recipes[0].image_size > 0) {
    app.add_option("--image-size", given->image_size,
                   cat("height and width of the images", defaults(program, &Recipe::image_size)))
        ->check(whole_number(1, 16384));
  }
  app.add_option("--batch-size", given->batch_size,
                 cat("samples in a step", defaults(program, &Recipe::batch_size)))
      ->check(whole_number(1, 1 << 24));
  app.add_option("--epochs", given->epochs,
                 cat("passes over the training set", defaults(program, &Recipe::epochs)))
      ->check(whole_number(0, 1 << 24));
  app.add_option("--steps", given->steps,
                 cat("stop after so many steps; 0: after the epochs; synthetic: steps to measure",
                     defaults(program, &Recipe::steps)))
      ->check(whole_number(0, kMany));
}

void add_step_options(CLI::App& app, const Program& program, Options* o, Given* given) {
  o->mode = "graph";
  o->device = "cpu";
  o->remat = "off";
  app.add_option("--mode", o->mode, "graph (compiled) or eager [graph]")
      ->check(one_of({"graph", "eager"}));
  app.add_option(
         "--precision", given->precision,
         cat("fp32; tf32: fp32 whose products may round their factors on a GPU; bf16 or fp16 with "
             "fp32 master weights, fp16 with a loss scale",
             defaults(program, &Recipe::precision)))
      ->check(one_of({"fp32", "tf32", "bf16", "fp16"}));
  app.add_option(
         "--remat", o->remat,
         "memory for time: off; cheap: norms and activations are computed again in backward; "
         "a size (900MB): until kept values fit it [off]")
      ->check(remat_size());
  app.add_option("--device", o->device, "cpu, cuda, or the second GPU: cuda:1 [cpu]");
  app.add_option("--lr", given->lr, cat("learning rate", defaults(program, &Recipe::lr)))
      ->check(positive_number());
  app.add_option("--seed", o->seed, "of initial values, order and random transforms [0]")
      ->check(whole_number(0, std::numeric_limits<int64_t>::max()));
}

void add_process_options(CLI::App& app, Options* o) {
  app.add_option("--ranks", o->ranks,
                 "processes to start on this machine, which train together; each takes batches of "
                 "its own [1, or what torchrun, mpirun or srun started]")
      ->check(whole_number(1, 4096));
  app.add_option(
         "--restarts", o->restarts,
         "start the processes of --ranks again, so many times at most, when one fails; with "
         "--checkpoint they go on from the last one [0]")
      ->check(whole_number(0, 1 << 20));
  app.add_flag("--shard-optimizer", o->shard_optimizer,
               "each rank keeps its part of the optimizer's states only, in checkpoints too");
  app.add_option("--compare-ranks", o->compare_ranks,
                 "compare the parameters of all ranks after every so many steps, and stop where "
                 "they differ; 0: never [0]")
      ->check(whole_number(0, kMany));
  app.add_option("--threads", o->threads, "compute threads [what this process may use]")
      ->check(whole_number(1, 4096));
  app.add_option("--workers", o->workers, "threads that prepare batches; 0: none of their own [1]")
      ->check(whole_number(0, 1024));
}

void add_checkpoint_options(CLI::App& app, Options* o) {
  app.add_option("--checkpoint", o->checkpoint,
                 "folder for checkpoints [none are written]; they are written after each epoch, "
                 "every minute in between and on Ctrl-C");
  app.add_option("--checkpoint-steps", o->checkpoint_steps,
                 "write one every so many steps instead of every minute")
      ->check(whole_number(1, kMany));
  app.add_flag("--resume", o->resume, "go on from the latest checkpoint in the folder");
}

void add_options(CLI::App& app, const Program& program, Options* o, Given* given) {
  // The last one counts: ARGS of make come after the options that the Makefile gives.
  app.option_defaults()->take_last();
  add_data_options(app, program, o, given);
  add_step_options(app, program, o, given);
  add_process_options(app, o);
  add_checkpoint_options(app, o);
  app.add_option("--explain", o->explain_folder,
                 "instead of training: run a few steps and print what the compiler did and each "
                 "kernel beside its limit; with a folder, files and a picture of the memory, too")
      ->expected(0, 1);
  for (const ExtraOption& e : program.extras) {
    std::string& value = o->extras[e.name] = e.initial;
    CLI::Option* option = app.add_option(
        e.name, value, cat(e.help, " [", e.initial.empty() ? "none" : e.initial, "]"));
    if (e.number) option->check(whole_number(1, 1 << 20));
  }
  app.add_option("--json", o->json, "file for the numbers of the table [none]");
}

// Throws CLI::ValidationError.
void complete(const Program& program, const Given& given, Options* o) {
  const auto refuse = [](const std::string& option, const std::string& why) {
    throw CLI::ValidationError(option, why);
  };
  const Recipe* recipe = nullptr;
  for (const Recipe& r : program.recipes) {
    if (r.dataset == o->dataset) recipe = &r;
  }
  if (!recipe) {
    if (program.other_dataset.empty() || o->dataset.empty()) {
      refuse("--dataset", cat("'", o->dataset, "' is none of ", dataset_names(program)));
    }
    recipe = &program.recipes.back();
  }
  o->program = program.name;
  o->recipe = *recipe;
  o->image_size = given.image_size.value_or(recipe->image_size);
  o->batch_size = given.batch_size.value_or(recipe->batch_size);
  o->epochs = given.epochs.value_or(recipe->epochs);
  o->steps = given.steps.value_or(recipe->steps);
  o->precision = given.precision.value_or(recipe->precision);
  o->lr = given.lr.value_or(recipe->lr);
  if (Device d; !parse_device(o->device, &d)) {
    refuse("--device", cat("'", o->device, "' is none of cpu, cuda, cuda:1"));
  }
  if (!o->graph() && o->remat != "off") refuse("--remat", "needs --mode graph");
  // Started again by torchrun, rutile.launch or --restarts: as --resume.
  if (!o->checkpoint.empty() && dist::restart_count() > 0) o->resume = true;
  if (o->resume && o->checkpoint.empty()) refuse("--resume", "needs --checkpoint DIR");
  if (o->checkpoint_steps > 0 && o->checkpoint.empty()) {
    refuse("--checkpoint-steps", "needs --checkpoint DIR");
  }
  if (o->explain && !o->graph()) refuse("--explain", "shows what is compiled: needs --mode graph");
  if (o->synthetic() && o->steps < 1) refuse("--steps", "synthetic data need at least 1 step");
}

// Errors are one line, whatever the text was.
int fail(const std::string& program, int code, std::string message) {
  while (!message.empty() && message.back() == '\n') message.pop_back();
  std::string line;
  for (const char c : message) {
    if (c == '\n') {
      line += line.ends_with(";") || line.ends_with(":") ? " " : "; ";
    } else {
      line += c;
    }
  }
  std::fflush(stdout);
  // Ranks that were interrupted leave after the same step.
  if (code != kExitInterrupted) dist::report_failure(line);
  const char* kind = code == kExitInterrupted ? "" : "error: ";
  std::fprintf(stderr, "%s: %s%s\n", program.c_str(), kind, line.c_str());
  return code;
}

// This program again, once for each rank.
int start_ranks(const Options& o, int argc, char** argv) {
  try {
    std::vector<std::string> command{std::filesystem::read_symlink("/proc/self/exe")};
    command.insert(command.end(), argv + 1, argv + argc);
    return dist::spawn_ranks(
        {.ranks = o.ranks, .command = std::move(command), .restarts = o.restarts});
  } catch (const std::exception& e) {
    return fail(o.program, kExitError, e.what());
  }
}

// GPUs exchange by NCCL where it is there, else over the host.
const char* backend_of(const Options& o) {
  Device device;
  const bool gpu = parse_device(o.device, &device) && device.type == DeviceType::kCuda;
  dist::LaunchInfo launch;
  if (!gpu || !dist::read_launch(&launch).ok() || launch.size == 1) return "gloo";
  const dist::CommPlugin* plugin = nullptr;
  return dist::load_comm_plugin("nccl", &plugin).ok() ? "nccl" : "gloo";
}

// Each rank has the GPU of its number on its host.
void choose_device(Options* o) {
  const Device device = dist::device();
  if (!(device == kCpu) && o->device.find(':') == std::string::npos) {
    o->device = to_string(device);
  }
}

int run_body(Options o, const std::function<void(const Options&)>& body) {
  try {
    install_interrupt_handler();
    dist::init({.backend = backend_of(o)});
    choose_device(&o);
    if (o.threads > 0) set_num_threads(o.threads);
    // Ranks draw their own random numbers; what they begin with is rank 0's.
    const auto rank = static_cast<uint64_t>(dist::rank());
    set_seed(rank == 0 ? o.seed : fold_in({o.seed}, rank).value);
    if (o.precision == "tf32") set_device_settings({.tf32_matmul = true, .tf32_conv = true});
    body(o);
    dist::finalize();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      return fail(o.program, kExitError, "standard output cannot be written to");
    }
    return 0;
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kInterrupted) {
      const bool saved = e.message().find("saved as") != std::string::npos;
      return fail(o.program, kExitInterrupted,
                  saved ? e.message() + "; --resume goes on from there" : e.message());
    }
    return fail(o.program, kExitError, e.message());
  } catch (const std::bad_alloc&) {
    return fail(o.program, kExitError, "out of memory");
  } catch (const std::exception& e) {
    return fail(o.program, kExitError, e.what());
  } catch (...) {
    return fail(o.program, kExitError, "unknown exception");
  }
}

}  // namespace

nn::StepOptions Options::step_options() const {
  nn::StepOptions s;
  s.mode = graph() ? nn::Mode::kGraph : nn::Mode::kEager;
  if (precision == "bf16") s.amp = DType::kBF16;
  if (precision == "fp16") {
    s.amp = DType::kF16;
    s.loss_scaler = std::make_shared<nn::optim::LossScaler>();
  }
  s.remat = remat;
  if (dist::size() > 1) {
    s.data_parallel =
        dist::ReducerOptions{.check_every = compare_ranks, .shard_optimizer = shard_optimizer};
  }
  return s;
}

int64_t Options::warm_up_steps() const { return 1 + std::max<int64_t>(3, steps / 5); }

int run_program(int argc, char** argv, const Program& program,
                const std::function<void(const Options&)>& body) {
  // A file that outgrows a limit is an error of that write, not the end of the program.
  std::signal(SIGXFSZ, SIG_IGN);
  Options o;
  Given given;
  CLI::App app(program.description, program.name);
  try {
    add_options(app, program, &o, &given);
    app.parse(argc, argv);
    o.explain = app.count("--explain") > 0;
    complete(program, given, &o);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return std::fflush(stdout) == 0 ? 0 : kExitError;
  } catch (const CLI::Error& e) {
    return fail(program.name, kExitUsage, e.what());
  } catch (const std::exception& e) {
    return fail(program.name, kExitUsage, e.what());
  }
  if (o.ranks > 1 && !std::getenv("RANK")) return start_ranks(o, argc, argv);
  return run_body(o, body);
}

}  // namespace rutile::apps
