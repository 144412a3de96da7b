"""The page for people: what the model is for, its fields, and a form that asks it. One file, nothing from elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from bentos.answers import answers_of
from bentos.row_schema import row_schema

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .3rem .6rem; vertical-align: top }
tr { border-bottom: 1px solid #ddd } code, pre, textarea { font: 14px/1.4 ui-monospace, monospace }
textarea { width: 100%; box-sizing: border-box } pre { background: #f4f4f4; padding: .8rem; overflow-x: auto }
button { font: inherit; padding: .3rem 1rem; margin-right: .5rem }
"""
# relative addresses: the page works behind any prefix
SCRIPT = """
const body = document.getElementById("body"), answer = document.getElementById("answer");
async function ask(route) {
  answer.textContent = "...";
  try {
    const headers = { "Content-Type": "application/json" };
    const found = await fetch(route, { method: "POST", headers, body: body.value });
    const text = await found.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 1); } catch (error) { /* shown as it is */ }
    answer.textContent = "HTTP " + found.status + "\\n" + shown;
  } catch (error) { answer.textContent = String(error); }
}
for (const button of document.querySelectorAll("button")) button.onclick = () => ask(button.value);
"""


def html(about: dict[str, Any], spec: dict[str, Any], release: str) -> str:
    schema = row_schema(spec)
    required = set(schema["required"])
    fields = "".join(
        f"<tr><td><code>{escape(column['name'])}</code></td><td>{escape(_kind(column))}</td>"
        f"<td>{'yes' if column['name'] in required else 'no'}</td>"
        f"<td>{escape(_rules(schema['properties'][column['name']]))}</td>"
        f"<td><code>{escape(json.dumps(about['example'].get(column['name']), ensure_ascii=False))}</code></td></tr>"
        for column in spec["columns"]
    )
    metrics = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in about["metrics"].items()
    )
    example = escape(json.dumps(about["example"], indent=1, ensure_ascii=False))
    rule = answers_of(about).rule()
    title = escape(f"{about['project']}: {release}")
    owner = f"<p>Owner: {escape(about['owner'])}</p>" if about["owner"] else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{STYLE}</style></head><body>
<h1>{title}</h1>
<p>{escape(about["purpose"])}</p><p>{escape(about["intended_use"])}</p>{owner}
<h2>Ask</h2>
<label for="body">A row, or a list of at most {spec["max_rows"]}:</label>
<textarea id="body" rows="{len(about["example"]) + 3}" spellcheck="false">{example}</textarea>
<p><button value="predict">predict</button><button value="explain">explain</button></p>
<pre id="answer" aria-live="polite">The answer will be here.</pre>
<h2>Fields</h2>
<table><tr><th>field</th><th>type</th><th>required</th><th>rules</th><th>example</th></tr>{fields}</table>
<h2>How good it is</h2>
<p>On {about["test_rows"]} rows that it was not trained on{escape(rule and f"; {rule}")}.</p>
<table>{metrics}</table>
<p><a href="openapi.json">OpenAPI</a> <a href="model">All facts</a></p>
<script>{SCRIPT}</script>
</body></html>
"""


def _kind(column: dict[str, Any]) -> str:
    if column["dtype"] in ("String", "Date", "Datetime"):
        return {"String": "text", "Date": "date", "Datetime": "time"}[column["dtype"]]
    return "true or false" if column["dtype"] == "Boolean" else str(column["dtype"])


def _rules(schema: dict[str, Any]) -> str:
    words = {
        "minimum": "at least", "exclusiveMinimum": "greater than", "maximum": "at most",
        "exclusiveMaximum": "less than", "pattern": "matches", "minLength": "characters at least",
        "maxLength": "characters at most",
    }  # fmt: skip
    parts = [f"{word} {schema[name]:.7g}" if isinstance(schema[name], float) else f"{word} {schema[name]}"
             for name, word in words.items() if name in schema]  # fmt: skip
    if "enum" in schema:
        parts.append("one of " + ", ".join(str(value) for value in schema["enum"] if value is not None))
    if "not" in schema:
        parts.append("none of " + ", ".join(map(str, schema["not"]["enum"])))
    return "; ".join([schema.get("description", ""), *parts]).strip("; ")
