#!/usr/bin/python3
"""All tests of the Helm chart in one process, so that what was rendered once is not rendered again.

chart_test.py [--update] [NAME...]     --update writes golden/ anew: look at the diff
"""
import os
import sys
import unittest

import chart

MODULES = ("render_test", "schema_test", "policy_test", "network_test", "alerts_test", "alerts_fire_test", "config_test")
SKIPPED = 77


def main():
    arguments = sys.argv[1:]
    missing = chart.missing_tools()
    if missing:
        print(f"{', '.join(missing)}: not in {chart.TOOLS}; scripts/bootstrap builds them where there is Go, which takes some minutes", file=sys.stderr)
        return 1 if os.environ.get("CI") else SKIPPED
    if "--update" in arguments:
        arguments.remove("--update")
        import render_test
        render_test.UPDATE = True
    loader = unittest.defaultTestLoader
    suite = unittest.TestSuite(loader.loadTestsFromName(name) for name in (arguments or MODULES))
    return 0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
