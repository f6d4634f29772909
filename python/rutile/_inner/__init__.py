# SPDX-License-Identifier: Apache-2.0
"""Inner names of MindSpore's files that published networks import, kept apart from the public modules."""
