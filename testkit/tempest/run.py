#!/usr/bin/python3
"""Runs tests of tempest in one process and prints a JSON object for each: run.py FAMILY…

FAMILY is a folder of tempest/api. TEMPEST_CONFIG and TEMPEST_CONFIG_DIR name the configuration. Classes whose set-up fails or is
skipped report that outcome for each of their tests; a failed tear-down is a result of its own, named CLASS.tearDownClass.
"""

import json
import os
import re
import sys
import traceback
import unittest

# Output of the libraries belongs on stderr: the results are the only thing on stdout.
results_out = os.fdopen(os.dup(1), 'w', buffering=1)
os.dup2(2, 1)

import tempest  # noqa: E402

CLASS_FIXTURE = re.compile(r'(setUpClass|tearDownClass) \((.*)\)$')


def tests_of(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_of(item)
        else:
            yield item


class Reporter(unittest.TestResult):
    def __init__(self, ids):
        super().__init__()
        self.waiting = dict.fromkeys(ids)

    def report(self, test, status, reason=''):
        name = test.id().split('[')[0]
        fixture = CLASS_FIXTURE.match(name)
        if fixture is None:
            self.print(name, status, reason)
        elif fixture[1] == 'tearDownClass':
            self.print(f'{fixture[2]}.tearDownClass', status, reason)
        else:
            for each in [name for name in self.waiting if name.rpartition('.')[0] == fixture[2]]:
                self.print(each, status, reason)

    def print(self, name, status, reason):
        self.waiting.pop(name, None)
        print(json.dumps({'name': name, 'status': status, 'reason': reason}), file=results_out)

    def addSuccess(self, test):
        self.report(test, 'passed')

    def addError(self, test, err):
        self.report(test, 'failed', ''.join(traceback.format_exception(*err))[-4000:])

    addFailure = addError

    def addSkip(self, test, reason):
        self.report(test, 'skipped', str(reason))


def main(families):
    packages = os.path.dirname(os.path.dirname(tempest.__file__))
    suite = unittest.TestSuite()
    for family in families:
        folder = os.path.join(packages, 'tempest', 'api', family)
        suite.addTests(unittest.TestLoader().discover(folder, top_level_dir=packages))
    reporter = Reporter(test.id().split('[')[0] for test in tests_of(suite))
    suite.run(reporter)
    for name in list(reporter.waiting):
        reporter.print(name, 'failed', 'it did not run')


main(sys.argv[1:])
