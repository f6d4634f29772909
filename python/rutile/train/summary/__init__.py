# SPDX-License-Identifier: Apache-2.0
"""Event files that TensorBoard reads: SummaryRecord."""

from rutile.train.summary.summary_record import SummaryRecord

__all__ = ["SummaryRecord"]
