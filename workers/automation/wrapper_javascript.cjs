// Runs a user's JavaScript inside the sandbox as the body of an async function: it sees `input` and `require`, and
// what it returns, or what its `main(input)` returns, is the result.
"use strict";
const fs = require("fs");
const { createRequire } = require("module");

const SCRIPT = "/work/script.js";
const AsyncFunction = Object.getPrototypeOf(async function () {}).constructor;

async function call() {
  const given = JSON.parse(fs.readFileSync("/run/input.json", "utf8"));
  const source = fs.readFileSync(SCRIPT, "utf8");
  const ending = "\n;if (typeof main === 'function') return await main(input);" +
    "\nreturn typeof result === 'undefined' ? undefined : result;";
  const body = new AsyncFunction("input", "require", source + ending);
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
