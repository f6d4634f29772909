// SPDX-License-Identifier: Apache-2.0
// What is checked of every op, from its samples. Authors of ops write samples/<family>.cc only; see
// samples/sample.h.
#pragma once

#include "rutile/tests/ops/samples/sample.h"
