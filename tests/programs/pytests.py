"""Run python's own test modules and write what became of each test as JSON.

usage: pytests.py OUT MODULE...
"""

import json
import sys
import unittest


class Verdicts(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.verdict = {}

    def addSuccess(self, test):
        self.verdict.setdefault(test.id(), 'ok')

    def addSkip(self, test, reason):
        self.verdict[test.id()] = 'skipped'

    def addError(self, test, err):
        super().addError(test, err)
        self.verdict[test.id()] = 'error: ' + self.errors[-1][1][-600:]

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.verdict[test.id()] = 'failed: ' + self.failures[-1][1][-600:]

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.verdict[test.id()] = f'failed: {subtest}: {err[1]}'


def main():
    result = Verdicts()
    unittest.defaultTestLoader.loadTestsFromNames(sys.argv[2:]).run(result)
    with open(sys.argv[1], 'w') as file:
        json.dump(result.verdict, file, indent=0, sort_keys=True)


if __name__ == '__main__':
    main()
