// SPDX-License-Identifier: Apache-2.0
// A library of ops in C: y = scale * x^3 with its gradient. It needs the header alone:
//   cc -std=c11 -O2 -fPIC -shared -I<prefix>/include op_library.c -o libcube.so
#include <rutile/ops/c_api.h>
#include <stdio.h>

static int64_t elements(const rutile_tensor* t) {
  int64_t n = 1;
  for (int32_t i = 0; i < t->rank; ++i) n *= t->shape[i];
  return n;
}

static int32_t infer(rutile_call* c) {
  if (c->inputs[0].dtype != RUTILE_F32) {
    snprintf(c->error, c->error_size, "takes f32 only");
    return 1;
  }
  c->outputs[0] = c->inputs[0];  // shape and dtype
  return 0;
}

typedef struct Cube {
  const float *x, *dy;
  float *y, *dx;
  float scale;
} Cube;

static void forward_part(void* data, int64_t begin, int64_t end) {
  const Cube* a = data;
  for (int64_t i = begin; i < end; ++i) a->y[i] = a->scale * a->x[i] * a->x[i] * a->x[i];
}

static int32_t forward(rutile_call* c) {
  Cube a = {.x = c->inputs[0].data, .y = c->outputs[0].data, .scale = (float)c->attrs[0].f};
  c->parallel_for(c, elements(&c->inputs[0]), 1 << 14, forward_part, &a);
  return 0;
}

static void backward_part(void* data, int64_t begin, int64_t end) {
  const Cube* a = data;
  for (int64_t i = begin; i < end; ++i) a->dx[i] = 3 * a->scale * a->x[i] * a->x[i] * a->dy[i];
}

static int32_t backward(rutile_call* c) {
  if (!c->input_grads[0].present) return 0;  // nobody asks for it
  Cube a = {.x = c->inputs[0].data,
            .dy = c->output_grads[0].data,
            .dx = c->input_grads[0].data,
            .scale = (float)c->attrs[0].f};
  c->parallel_for(c, elements(&c->inputs[0]), 1 << 14, backward_part, &a);
  return 0;
}

RUTILE_OP_LIBRARY(registry) {
  static const char* const inputs[] = {"x"};
  static const rutile_attr attrs[] = {{.name = "scale", .type = RUTILE_ATTR_FLOAT, .f = 1.0}};
  rutile_op op = RUTILE_OP_INIT;
  op.name = "scaled_cube";
  op.doc = "scale * x^3.";
  op.inputs = inputs;
  op.num_inputs = 1;
  op.attrs = attrs;
  op.num_attrs = 1;
  op.infer = infer;
  op.forward = forward;
  op.backward = backward;
  return registry->register_op(registry, &op);
}
