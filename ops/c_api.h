/* SPDX-License-Identifier: Apache-2.0
   The C ABI for ops in shared libraries that are built apart from Rutile, with any C compiler and
   without linking it: this header is all that they need.

     #include <rutile/ops/c_api.h>

     static int32_t infer(rutile_call* c) { ... shape and dtype of c->outputs ... }
     static int32_t forward(rutile_call* c) { ... data of c->outputs ... }

     RUTILE_OP_LIBRARY(registry) {
       rutile_op op = RUTILE_OP_INIT;
       op.name = "my_op";
       ...
       return registry->register_op(registry, &op);
     }

   rutile::load_op_library(path) (rutile.ops.load_op_library in Python) registers them.
   docs/custom_ops.md has a whole library. Functions return 0, or anything else with a message in
   c->error. Within one ABI version fields are only added, at the ends; struct_size says how many
   the other side knows. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RUTILE_C_ABI_VERSION 1u
#define RUTILE_C_MAX_RANK 8

typedef enum rutile_dtype {
  RUTILE_BOOL = 0,
  RUTILE_U8,
  RUTILE_U16,
  RUTILE_U32,
  RUTILE_U64,
  RUTILE_I8,
  RUTILE_I16,
  RUTILE_I32,
  RUTILE_I64,
  RUTILE_F16,
  RUTILE_BF16,
  RUTILE_F32,
  RUTILE_F64,
  RUTILE_C64,
  RUTILE_C128
} rutile_dtype;

/* A row-major tensor on the CPU. `data` is null while shapes are inferred, for tensors without
   elements, and for gradients that nobody asks for; `present` is 0 for an optional input left off.
 */
typedef struct rutile_tensor {
  void* data;
  int64_t shape[RUTILE_C_MAX_RANK];
  int32_t rank;
  int32_t dtype;
  int32_t present;
  int32_t reserved;
} rutile_tensor;

typedef enum rutile_attr_type {
  RUTILE_ATTR_BOOL = 0, /* i */
  RUTILE_ATTR_INT,      /* i */
  RUTILE_ATTR_FLOAT,    /* f */
  RUTILE_ATTR_TEXT,     /* text */
  RUTILE_ATTR_INTS      /* ints, count: at most RUTILE_C_MAX_RANK */
} rutile_attr_type;

/* In a definition the default, in a call the value. */
typedef struct rutile_attr {
  const char* name;
  int32_t type;
  int32_t count;
  int64_t i;
  double f;
  const char* text;
  const int64_t* ints;
} rutile_attr;

typedef struct rutile_call rutile_call;
typedef void (*rutile_loop_body)(void* data, int64_t begin, int64_t end);

struct rutile_call {
  size_t struct_size;
  void* context; /* of the definition */
  const rutile_attr* attrs;
  int32_t num_attrs;
  int32_t num_inputs;
  int32_t num_outputs;
  int32_t reserved;
  const rutile_tensor* inputs; /* of the op, in all three functions */
  /* infer: to be filled with rank, shape and dtype. forward: to be computed.
     backward: the results, their data only with RUTILE_BACKWARD_READS_OUTPUTS. */
  rutile_tensor* outputs;
  const rutile_tensor* output_grads; /* backward: one for each output */
  rutile_tensor* input_grads;        /* backward: to be computed where data is not null */
  char* error;                       /* room for a message that ends with 0 */
  size_t error_size;
  /* Runs body over parts of [0, n), on the compute threads where n > grain. */
  void (*parallel_for)(const rutile_call* call, int64_t n, int64_t grain, rutile_loop_body body,
                       void* data);
};

typedef int32_t (*rutile_function)(rutile_call* call);

#define RUTILE_ELEMENTWISE 1u /* output element i depends on input elements i only */
#define RUTILE_PROMOTE 2u     /* inputs are cast to their common dtype first */
#define RUTILE_BACKWARD_READS_OUTPUTS 4u

typedef struct rutile_op {
  size_t struct_size;
  const char* name;           /* snake_case */
  const char* doc;            /* may be null */
  const char* const* inputs;  /* "x", "bias?" may be absent, "xs*" any number (the last) */
  const char* const* outputs; /* null: one, "y" */
  const rutile_attr* attrs;
  int32_t num_inputs;
  int32_t num_outputs;
  int32_t num_attrs;
  uint32_t flags;
  rutile_function infer;    /* null for elementwise ops: the broadcast shape, the first dtype */
  rutile_function forward;  /* may run in several threads at once */
  rutile_function backward; /* null: the op has no gradient */
  void* context;
} rutile_op;
#define RUTILE_OP_INIT \
  { sizeof(rutile_op), 0, 0, 0, 0, 0, 0, 0, 0, 0u, 0, 0, 0, 0 }

typedef struct rutile_registry rutile_registry;
struct rutile_registry {
  size_t struct_size;
  uint32_t abi_version;
  uint32_t reserved;
  /* Copies what `op` points to, functions and context excepted. Not 0: the definition was refused,
     and load_op_library says why. */
  int32_t (*register_op)(const rutile_registry* registry, const rutile_op* op);
};

/* The two functions that a library exports. */
#if defined(__GNUC__)
#define RUTILE_C_EXPORT __attribute__((visibility("default")))
#else
#define RUTILE_C_EXPORT
#endif
RUTILE_C_EXPORT uint32_t rutile_op_library_abi(void);
RUTILE_C_EXPORT int32_t rutile_op_library_init(const rutile_registry* registry);

/* Defines both; the body registers the ops and returns 0. */
#define RUTILE_OP_LIBRARY(registry)                                     \
  uint32_t rutile_op_library_abi(void) { return RUTILE_C_ABI_VERSION; } \
  int32_t rutile_op_library_init(const rutile_registry* registry)

#ifdef __cplusplus
}
#endif
