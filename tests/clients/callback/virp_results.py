"""Says in JSON what each task came to; the name of a task that is tried again is put into a file beside the playbook."""
from __future__ import annotations

import json
import pathlib

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: virp_results
type: stdout
short_description: results of tasks in JSON
description: For the test of the collection.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "virp_results"

    def __init__(self):
        super().__init__()
        self.results = {}

    def v2_runner_on_ok(self, result):
        self.results[result._task.get_name()] = {**result._result, "failed": False}

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.results[result._task.get_name()] = {**result._result, "failed": True}

    v2_runner_on_unreachable = v2_runner_on_failed

    def v2_runner_retry(self, result):
        pathlib.Path("retried").write_text(result._task.get_name())

    def v2_playbook_on_stats(self, stats):
        print("RESULTS " + json.dumps(self.results, default=str))
