"""The codes that ``last_error`` and an execution's ``error`` can carry, with what each means.

A test reads the code base and holds this table to it: a code that is raised but not listed fails, and so does one
that is listed and no longer raised.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ("taskengine/lifecycle", "taskengine/delivery", "taskengine/domain", "workers")
_CLASSES = {"TransientError": True, "PermanentError": False, "ExpansionFault": False}
_FAULTS = {"WrongKey": False}
"""Errors of the engine that end an attempt or a step under their own code, with whether it is tried again."""
_CARRIERS = ("ErrorInfo", "status_error", "kind", "super().__init__")


@dataclass(frozen=True, slots=True)
class Code:
    """One code: where it comes from, whether the task is tried again, and what it means."""

    source: str
    retried: str
    meaning: str


def _engine(retried: str, meaning: str) -> Code:
    return Code("engine", retried, meaning)


def _step(meaning: str) -> Code:
    return Code("run", NO, meaning)


def _expansion(meaning: str) -> Code:
    return Code("expansion", NO, f"{meaning} `details.field` is the place in `expansion_config`.")


def _call(retried: str, meaning: str) -> Code:
    return Code("api_call", retried, meaning)


def _sandbox(retried: str, meaning: str) -> Code:
    return Code("script, testing, code_analysis, deployment", retried, meaning)


def _report(retried: str, meaning: str) -> Code:
    return Code("report_generation", retried, meaning)


def _celery(retried: str, meaning: str) -> Code:
    return Code("celery_task", retried, meaning)


def _language(retried: str, meaning: str) -> Code:
    return Code("what asks a language model", retried, meaning)


def _browser(retried: str, meaning: str) -> Code:
    return Code("browser_automation, data_extraction", retried, meaning)


def _ghl(retried: str, meaning: str) -> Code:
    return Code("ghl_action", retried, meaning)


def _telling(retried: str, meaning: str) -> Code:
    return Code("notification, reminder", retried, meaning)


def _delivery(retried: str, meaning: str) -> Code:
    return Code("deliveries", retried, meaning)


def _browsing(retried: str, meaning: str) -> Code:
    return Code("browser_task", retried, meaning)


_PAGES_TOO = "api_call, browser tasks"

YES, NO, BY_STATUS = "yes", "no", "by status"

CODES: dict[str, Code] = {
    "artifact_not_stored": _engine(NO, "The disk refused a file of the attempt."),
    "cancelled": _engine(
        NO, "Somebody cancelled the task while it ran; the execution carries it, the task is `cancelled`."
    ),
    "exception": _engine(YES, "The handler raised something of its own; `details.traceback` has the end of the trace."),
    "expired": _engine(NO, "`expires_at` passed before the task started; the task is `cancelled`."),
    "invalid_config": _engine(
        NO, "The config does not fit once its templates are rendered, or does not meet `input_schema` then."
    ),
    "invalid_output": _engine(NO, "The result does not meet the task's `output_schema`."),
    "no_outcome": _engine(NO, "The handler returned something that is no Outcome."),
    "result_not_json": Code("engine, celery_task", NO, "The result cannot be stored as JSON."),
    "result_too_large": _engine(NO, "The result exceeds `TASKENGINE_MAX_RESULT_BYTES`."),
    "template_error": _engine(NO, "A template names something unknown or cannot be rendered; the message names it."),
    "timeout": _engine(
        YES,
        "The attempt's time limit passed; the execution is `timed_out`. Of a step or a run: its own limit; what was "
        "done in it is kept.",
    ),
    "unavailable": _engine(
        YES, "Postgres was away while the handler needed it, for a secret or a file; takes none of `max_retries`."
    ),
    "engine_fault": _step(
        "The engine met a fault of its own at this step. The log of the process has the trace: report it."
    ),
    "attempt_lost": _engine(YES, "The attempt was given up before it could begin its run; nothing was begun."),
    "cannot_remember": _engine(NO, "What the type wanted to keep for later is no JSON, or too large."),
    "invalid_run": _engine(NO, "The run that the task was to begin is none: the message names the fault."),
    "run_gone": _engine(NO, "The run that the task waited for was deleted."),
    "unknown_secret": _engine(NO, "The config names a secret that the organization does not have."),
    "unknown_artifact": _engine(NO, "The config names a stored file that the organization does not have."),
    "unknown_type": _engine(YES, "The worker lacks the package that brings this task type."),
    "upstream_failed": _engine(
        NO,
        "Something that this depends on, or is a part of, failed, or was cancelled or skipped for that; this is "
        "`skipped`, and so is what needs its success.",
    ),
    "worker_lost": _engine(YES, "The worker fell silent; limited by `TASKENGINE_LOST_LIMIT`, not by `max_retries`."),
    "wrong_encryption_key": _engine(NO, "A stored credential was encrypted with another key."),
    "not_needed": _step("`run_on: failure`, and nothing it depends on failed; it is `skipped`, which stops nobody."),
    "branch_not_taken": _step("The condition chose the other branch; the step is `skipped`, which stops nobody."),
    "too_many_children": _step("An expansion would have more children than `TASKENGINE_MAX_CHILDREN`."),
    "step_failed": _step("Something in the step, or the run, failed so that it counts; `details.failed` lists it."),
    "sub_run_failed": _step("The run that the step started did not complete; `details.run_id` is its id."),
    "condition_error": _step(
        "A condition cannot be decided: there is no such value, or the types do not compare; `details.field` names it."
    ),
    "max_iterations": _step("`for_each` has more items than `max_iterations` allows."),
    "not_a_list": _step("What `for_each` names is no list."),
    "not_a_time": _step("`until` is no time (RFC 3339) once its template is rendered."),
    "rejected": _step("Somebody who may answer the approval said no."),
    "runs_too_deep": _step("Runs start runs more than ten levels deep."),
    "unknown_workflow": _step("There is no workflow of that name, or not in that version, when the step starts."),
    "nothing_found": _expansion("There is nothing at the path that should name an array or an object."),
    "not_an_array": _expansion("What is to be expanded is no array."),
    "not_an_object": _expansion("`data` of a custom expansion is no object of arrays."),
    "unequal_lengths": _expansion("Arrays side by side (type `array`) are not of one length."),
    "unknown_name": _expansion("`combine` or `filter` names an array that the data does not hold."),
    "no_identifier": _expansion("A child has no text or number where `identifier` points."),
    "invalid_child": _expansion("A child's item does not meet the schema `validation`."),
    "rate_limited": Code("any", YES, "The other side asked to wait; the next attempt comes no sooner than it said."),
    "no_channel": _telling(
        NO, "Nobody can be reached under the recipient; the message says which member lacks what, or what to set."
    ),
    "unknown_recipient": _telling(NO, "There is no such member or group, and it is no address."),
    "message_too_large": _telling(NO, "`data` of the message is too large; send a link."),
    "sender_lost": _delivery(
        YES, "The worker fell silent while it sent. The message may have arrived: its id says so."
    ),
    "webhook_gone": _delivery(NO, "The receiver answered 410: it wants no more."),
    "smtp_not_configured": _delivery(YES, "`TASKENGINE_SMTP_URL` is not set any more."),
    "smtp_connection": _delivery(YES, "The mail server could not be reached, or gave no answer in time."),
    "smtp_login_failed": _delivery(YES, "The mail server refused the login of `TASKENGINE_SMTP_URL`."),
    "smtp_refused": _delivery(BY_STATUS, "The mail server refused the address or the message; 4xx is tried again."),
    "echo_failed": Code("echo", YES, "`failTimes` told it to fail."),
    "echo_stopped": Code("echo", YES, "It was told to stop while it slept."),
    "http_status": Code(
        _PAGES_TOO, BY_STATUS, "The status is not an expected one. 408, 425, 429 and 5xx are tried again."
    ),
    "http_timeout": _call(YES, "No complete answer within `timeout`."),
    "http_connection": _call(YES, "Lookup, connection, TLS or transfer failed."),
    "egress_refused": Code(
        _PAGES_TOO, NO, "The target's address is private and `TASKENGINE_EGRESS_ALLOW` does not name it."
    ),
    "invalid_request": Code(
        _PAGES_TOO, NO, "The request cannot be sent as it is: URL, header, redirect to another scheme."
    ),
    "too_many_redirects": Code(_PAGES_TOO, NO, "More redirects than `maxRedirects`, or than a browser follows."),
    "response_too_large": _call(NO, "The body exceeds `maxResponseBytes`."),
    "bad_response": _call(NO, "The body is not what its content type says."),
    "extract_failed": _call(NO, "A JSON pointer of `extract` points to nothing."),
    "oauth_failed": _call(BY_STATUS, "The token endpoint refused, or answered without a token."),
    "interrupted": Code("any", YES, "The attempt was told to stop while it waited for a peer."),
    "llm_not_configured": _language(
        NO, "The task needs a language model, and `TASKENGINE_LLM_URL` or `TASKENGINE_LLM_MODEL` is not set."
    ),
    "llm_unavailable": _language(YES, "The language server cannot be reached, was too slow, or is in trouble."),
    "llm_refused": _language(NO, "The language server takes no such request; the message names the setting to check."),
    "llm_bad_answer": _language(
        NO, "The answer does not meet its schema, also when the model was told; or it refused."
    ),
    "llm_budget_exceeded": _language(
        NO, "The task has used up `TASKENGINE_LLM_MAX_TOKENS_PER_TASK`, over all attempts."
    ),
    "sandbox_unavailable": _sandbox(
        NO, "The worker's machine cannot isolate programs; nothing was run. The message says why."
    ),
    "cpu_limit": _sandbox(NO, "The program used up `limits.cpuSeconds`."),
    "memory_limit": _sandbox(NO, "The program needed more than `limits.memoryMb`."),
    "process_limit": _sandbox(NO, "The program had more processes and threads than `limits.processes`."),
    "file_limit": _sandbox(NO, "The program wrote more than `limits.diskMb`, or made more files than `limits.files`."),
    "output_limit": _sandbox(
        NO, "The program printed more than `limits.outputKb`, or left more than may be collected."
    ),
    "time_limit": _sandbox(NO, "The program ran longer than `limits.wallSeconds`."),
    "limit_too_high": _sandbox(NO, "A limit that was asked for exceeds the operator's; `details.field` names it."),
    "bad_archive": _sandbox(
        NO, "The archive cannot be read, is too large, or holds links or paths that lead out of it."
    ),
    "bad_files": _sandbox(NO, "The files to work on could not be laid out."),
    "script_failed": _sandbox(NO, "The program ended with an exit code other than 0; `details` has what it printed."),
    "bad_result": _sandbox(NO, "What the program left as its result is no JSON, or cannot be read."),
    "no_such_file": _sandbox(NO, "A file that was to be stored is not there; `details.path` names it."),
    "no_javascript": _sandbox(NO, "The worker has no node."),
    "command_not_allowed": _sandbox(NO, "`TASKENGINE_SCRIPT_COMMANDS` does not name the command."),
    "command_unavailable": _sandbox(NO, "The command is allowed, but the worker has no such program."),
    "folder_not_allowed": _sandbox(NO, "The path is not below a folder that `TASKENGINE_CODE_FOLDERS` names."),
    "no_such_code": _sandbox(NO, "What `path` names is neither a folder nor an archive, or cannot be read."),
    "repository_unsupported": _sandbox(NO, "`repositoryUrl` has a scheme that is not fetched; http and https are."),
    "code_too_large": _sandbox(NO, "The folder holds more than `limits.files` or `limits.diskMb`."),
    "tool_missing": _sandbox(NO, "The worker's environment lacks lizard or ruff."),
    "tests_failed": Code("testing", NO, "Tests did not pass, as `failOn` counts; `details` is the whole result."),
    "no_report": Code("testing", NO, "The tests ended well but left no JUnit report where `reports` says."),
    "bad_report": Code("testing", NO, "A report is no JUnit XML, or holds what reports do not need."),
    "deployment_failed": Code("deployment", NO, "A step failed; `details` says which, why, and what was rolled back."),
    "rollback_failed": Code(
        "deployment", NO, "A step failed, and so did a rollback: `details.rollback_failures` needs somebody's hand."
    ),
    "unexpected_answer": Code("deployment", NO, "An answer does not hold what `expect` says."),
    "function_failed": _sandbox(NO, "The remote function answered with an error of its own; `details` has it."),
    "bad_function_secret": _sandbox(
        NO, "`functionSecret` is no signing secret: `whsec_` and 24 to 64 bytes in base64."
    ),
    "ghl_not_configured": _ghl(NO, "There is no `GHL_API_KEY` or no `GHL_LOCATION_ID`; `details.missing` says which."),
    "ghl_unauthorized": _ghl(
        NO, "GoHighLevel answered 401 or 403; `details.scope` is the scope that the token needs for this."
    ),
    "ghl_rejected": _ghl(NO, "GoHighLevel refused the request; `details.messages` says why."),
    "ghl_unavailable": _ghl(YES, "GoHighLevel answered 408, 425, 5xx, or something that is no answer of its API."),
    "maybe_sent": _ghl(
        NO,
        "An earlier attempt's answer was lost, and there is no way to tell whether it was done. Look, and retry the "
        "task to send it again.",
    ),
    "report_too_slow": _report(NO, "The database took too long over a part of it; a shorter period helps."),
    "invalid_period": _report(NO, "The period is empty or too long once `startDate` alone meets the present."),
    "report_stopped": _report(YES, "It was told to stop while the files were made."),
    "check_failed": Code(
        "monitoring", NO, "A check was found as bad as `failOn` says; `details` is the result, with every check."
    ),
    "celery_app_unavailable": _celery(NO, "`TASKENGINE_CELERY_APP` is not set, or the app cannot be imported."),
    "unknown_celery_task": _celery(NO, "The app has no task of that name; the message names close ones."),
    "bad_arguments": _celery(NO, "The arguments do not fit the task's signature."),
    "celery_task_failed": _celery(NO, "The task raised; `details` holds the exception and the end of the trace."),
    "celery_retry": _celery(YES, "The task asked for a retry (`self.retry`, `autoretry_for`)."),
    "celery_rejected": Code(
        "celery_task", "as asked", "The task raised `Reject`; tried again where it asked for `requeue`."
    ),
    "instruction_unclear": Code(
        "browser types",
        NO,
        "Plain words fit nothing on the page, or several things; `details.candidates` has the closest.",
    ),
    "max_steps_exceeded": _browsing(NO, "The task was not done after `maxSteps` steps."),
    "agent_gave_up": _browsing(NO, "The language model sees no way to the goal; the message says why."),
    "blocks_failed": _browsing(NO, "A block of engine v2 failed; `details.run_id` is the run of the blocks."),
    "invalid_plan": _browsing(NO, "The language model's plan of blocks cannot be run, also after it was told why."),
    "invalid_step": _browsing(NO, "A step that was decided on cannot be done as it is; the message names the field."),
    "secret_in_prompt": _browsing(NO, "The prompt holds a secret; give it in `parameters` and write `{name}`."),
    "secret_misplaced": _browsing(
        NO, "The model wanted a secret elsewhere than in a field of the sites that the task's `url` or prompt names."
    ),
    "unknown_parameter": _browsing(NO, "The prompt names a `{parameter}` that the task does not have."),
    "bad_selector": _browser(NO, "What should be a CSS selector or an XPath is none; `details.field` names the field."),
    "value_missing": _browser(NO, "A required value is not on the page, or cannot be read as its type."),
    "no_such_table": _browser(NO, "No table, or more than one, is as `table` says; `details.tables` has those there."),
    "no_such_frame": _browser(NO, "The page has no frame at the selector `frame`."),
    "schema_mismatch": _browser(NO, "The data does not meet the schema; `details.errors` has the path of each fault."),
    "data_too_large": _browser(NO, "The data exceeds `maxBytes`, or cannot be stored as JSON."),
    "page_not_readable": _browser(YES, "The page did not let itself be read in time: gone, broken or endlessly busy."),
    "next_page_failed": _browser(YES, "The link or button to the next page could not be pressed."),
    "browser_missing": _browser(NO, "No Chromium is installed, or `TASKENGINE_CHROMIUM` names none."),
    "browser_not_started": _browser(YES, "Chromium or its driver did not come up; `details.reasons` has its output."),
    "browser_crashed": _browser(YES, "The page or the browser crashed; the next attempt gets a new browser."),
    "browser_stopped": _browser(YES, "The attempt was told to stop; the browser was ended for it."),
    "page_hangs": _browser(YES, "The page did not answer any more, so the browser was ended."),
    "page_too_large": _browser(
        NO, "The page took more memory or disk than a task may; see `TASKENGINE_BROWSER_RECYCLE_MB`."
    ),
    "unknown_session": _browser(NO, "`session.load` names a session that nobody saved."),
    "session_too_large": _browser(NO, "Cookies and storage are too large to be saved."),
    "navigation_failed": _browser(YES, "The address could not be opened: lookup, connection, TLS or transfer failed."),
    "navigation_timeout": _browser(YES, "The page did not open within the step's time limit."),
    "address_refused": _browser(NO, "The page went to something else than http or https."),
    "target_not_found": _browser(
        NO, "No element matches within the step's time limit; the step has a screenshot and the DOM."
    ),
    "target_ambiguous": _browser(NO, "Several elements match; `details.matches` shows them."),
    "step_timeout": _browser(
        NO, "The element is there, but what was to be done was not done within the step's time limit."
    ),
    "browser_step_failed": _browser(NO, "The browser refused to do the step; the message says why."),
    "assertion_failed": _browser(NO, "What an `assert` step checks does not hold; `details.unmet` says what."),
    "no_popup": _browser(NO, "`close_popup` found neither a window nor a dialog."),
    "nothing_to_type": _browser(NO, "The instruction of a `type` step does not say what to type."),
    "nothing_to_select": _browser(NO, "The instruction of a `select` step does not say what to choose."),
    "evaluate_not_allowed": _browser(NO, "`evaluate` steps are off; see `TASKENGINE_BROWSER_EVALUATE`."),
    "value_not_json": _browser(NO, "The script of an `evaluate` step returned what is no JSON."),
    "value_too_large": _browser(NO, "The script of an `evaluate` step returned too much."),
    "upload_too_large": _browser(NO, "The files of an `upload` step are too large together."),
    "invalid_upload": _browser(NO, "The content of a file to upload is no Base64."),
    "no_download": _browser(NO, "No download began within the step's time limit."),
    "download_failed": _browser(YES, "A download broke off."),
    "download_too_large": _browser(NO, "A download exceeds `maxBytes`."),
    "totp_invalid_secret": _browser(NO, "The TOTP secret is neither Base32 nor an otpauth:// URI."),
    "totp_timeout": _browser(YES, "Nobody pushed the one-time code in time."),
    "no_executor": Code(
        "code_generation, code_review", NO, "No language model is set up, or it cannot do this, and no agent is alive."
    ),
    "too_much_code": Code("code_generation, code_review", NO, "More code than is sent to a language model at once."),
    "invalid_capability": Code("custom", NO, "The capability is no name once its template is rendered."),
    "not_granted": Code("system_function", NO, "The operator has not granted the function to the organization."),
    "invalid_function_input": Code("system_function", NO, "The input does not fit the function's model once rendered."),
    "invalid_function_output": Code("system_function", NO, "The function returned what does not fit its own model."),
    "unknown_time_zone": Code("engine.now", NO, "There is no time zone of that name."),
    "countdown_stopped": Code("engine.countdown", YES, "It was told to stop while it counted."),
}


def raised() -> dict[str, set[str]]:
    """Every code that the code base raises, with what the raising class says about retries (empty: nothing)."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for code, retried in _codes(ast.parse(path.read_text())):
                found[code] |= {retried} if retried else set()
    return dict(found)


def _codes(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """A code: first argument of an error's constructor, ``"code"`` of a literal error document, or a fault's own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            name, first = ast.unparse(node.func), node.args[0]
            if (
                isinstance(first, ast.Constant)
                and isinstance(first.value, str)
                and (name in _CLASSES or name in _CARRIERS)
            ):
                yield first.value, {True: YES, False: NO, None: ""}[_CLASSES.get(name)]
        elif isinstance(node, ast.ClassDef) and node.name in _FAULTS:
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Constant):
                    yield str(line.value.value), YES if _FAULTS[node.name] else NO
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                named = isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant)
                # Examples of configs hold programs under that name.
                if named and isinstance(value, ast.Constant) and str(value.value).isidentifier():
                    yield str(value.value), ""
