"""Notebooks without Jupyter, which is not in the lock: cells run in their order, and show their last expression.

``python -m support.notebooks FILE`` runs one and writes what its cells show into it.
"""

import ast
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

Output = dict[str, Any]


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_bytes())["cells"] if cell["cell_type"] == "code"]


def shown(outputs: list[Output]) -> str:
    """Return what outputs of a cell say as text."""
    texts = [output.get("text") or output["data"]["text/plain"] for output in outputs]
    return "".join(line for text in texts for line in text)


def run(source: str, names: dict[str, Any], *, number: int) -> list[Output]:
    """Run a cell, and return what it printed and what its last expression is."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"<cell {number}>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"<cell {number}>", "eval"), names)
    stream = {"name": "stdout", "output_type": "stream", "text": lines(printed.getvalue())}
    return [*([stream] if printed.getvalue() else []), *([] if value is None else [result(value, number=number)])]


def result(value: object, *, number: int) -> Output:
    data = {"text/plain": lines(repr(value))}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = lines(value._repr_html_())
    return {"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"}


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def write_outputs(notebook: Path) -> None:
    told, names = json.loads(notebook.read_bytes()), {"__name__": "__main__"}
    for number, cell in enumerate((cell for cell in told["cells"] if cell["cell_type"] == "code"), start=1):
        cell |= {"execution_count": number, "outputs": run("".join(cell["source"]), names, number=number)}
    notebook.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_outputs(Path(sys.argv[1]))
