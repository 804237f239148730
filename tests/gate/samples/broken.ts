// Run by suites_test.ts alone: it ends before any test.
throw new Error("Cannot even start");
