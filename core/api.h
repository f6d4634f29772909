// SPDX-License-Identifier: Apache-2.0
#pragma once

// Marks a symbol that librutile.so exports; everything else stays hidden.
#define RUTILE_API __attribute__((visibility("default")))
