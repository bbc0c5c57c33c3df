// Runs a user's JavaScript inside the sandbox as the body of an async function: it sees `input` and `require`, and
// what it returns, or what its `main(input)` returns, is the result.
"use strict";
const fs = require("fs");
const { createRequire } = require("module");
const vm = require("vm");

const SCRIPT = "/work/script.js";
// On the line of the first one of the script, so that errors name its lines and not ours.
const BEFORE = "(async function (input, require) {";
const AFTER =
  "\n;if (typeof main === 'function') return await main(input);" +
  "\nreturn typeof result === 'undefined' ? undefined : result;\n})";

async function call() {
  const given = JSON.parse(fs.readFileSync("/run/input.json", "utf8"));
  const source = fs.readFileSync(SCRIPT, "utf8");
  const importModuleDynamically = vm.constants && vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
  const place = { filename: SCRIPT, columnOffset: -BEFORE.length, importModuleDynamically };
  const body = vm.runInThisContext(BEFORE + source + AFTER, place);
  return await body(given, createRequire(SCRIPT));
}

call().then(
  (value) => {
    if (value !== undefined) fs.writeFileSync(process.env.RESULT_FILE, JSON.stringify(value));
  },
  (error) => {
    console.error(error && error.stack ? error.stack : String(error));
    process.exit(1);
  },
);
