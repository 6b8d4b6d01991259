"""The kernel through Jupyter's own client, and notebooks through nbconvert."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta

import nbformat
import pyarrow.ipc
from common import Cell, Place, until
from jupyter_client import KernelManager

STREAM = """CREATE TABLE g (id BIGINT, v DOUBLE, ts TIMESTAMP(3)) WITH ('connector' = 'datagen', 'rows-per-second' = '500',
  'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '1000000000');"""


class Kernel:
    def __init__(self, place):
        self.manager = KernelManager(kernel_name="affluent")
        self.manager.start_kernel(cwd=place.work)
        self.connect()

    def connect(self):
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code, status="ok"):
        cell = Cell(self.client, code)
        reply = cell.done()
        assert reply["status"] == status, (code, reply, cell.messages)
        return cell

    def reply(self, request, *arguments):
        return request(*arguments, reply=True, timeout=60)["content"]

    def end(self):
        self.client.stop_channels()
        begun = time.monotonic()
        self.manager.shutdown_kernel()
        # Jupyter kills a kernel that has not ended after five seconds.
        assert time.monotonic() - begun < 5, "the kernel did not shut down by itself"


def statements(kernel):
    cell = kernel.run("SELECT 1 AS one, 'a' AS b; SHOW TABLES; SELECT 2 AS two")
    assert len(cell.displays) == 3, cell.displays
    assert "|   1 | a |" in cell.shown()[0], cell.shown()
    assert "<td style=\"text-align:right\">1</td>" in cell.shown("text/html")[0]
    failed = kernel.run("SELECT 1;\nSELECT nope FROM nowhere;\nSELECT 2", "error")
    (error,) = failed.of("error")
    assert error["ename"] == "PlanError" and len(failed.displays) == 1, failed.messages
    assert any("In [" in line and ":2:18" in line for line in error["traceback"]), error
    assert error["traceback"][0].startswith("statement 2 of 3 failed: SELECT nope FROM nowhere; the one before"), error
    (error,) = kernel.run("SELECT 1;\nSELEC 2", "error").of("error")
    assert error["ename"] == "SyntaxError" and "SELECT" in "".join(error["traceback"]), error
    kernel.run("")
    counts = [kernel.run("SELECT 1").of("execute_input")[0]["execution_count"] for _ in range(2)]
    assert counts[1] == counts[0] + 1
    long = kernel.run(";\n".join(f"SET 'pipeline.name' = 'p{i}'" for i in range(10_000)) + ";\nRESET 'pipeline.name'")
    assert not long.displays


def a_table_follows_its_stream(kernel):
    kernel.run(STREAM)
    cell = Cell(kernel.client, "SELECT id, v FROM g")
    cell.until("repaints", lambda cell: len(cell.of("update_display_data")) >= 10)
    assert len(cell.of("display_data")) == 1 and len(cell.displays) == 1
    # While it runs, the kernel answers; and says that it is busy.
    found = kernel.reply(kernel.client.complete, "SELECT * FROM ", 14)
    assert "g" in found["matches"], found
    help_of = kernel.reply(kernel.client.inspect, "SELECT LEFT(a)", 9)
    assert help_of["found"] and "STRING" in help_of["data"]["text/plain"], help_of
    assert kernel.reply(kernel.client.comm_info) == {"status": "ok", "comms": {}}
    assert kernel.reply(kernel.client.history)["history"] == []
    assert not cell.idle
    kernel.manager.interrupt_kernel()
    assert cell.done()["status"] == "ok"
    (text,) = cell.shown()
    assert "\nstopped after " in text and " earlier\n" in text and "/s" in text, text
    # At most ten times a second, by the kernel's own clock; the last one comes when it must.
    sent = [datetime.fromisoformat(m["header"]["date"].rstrip("Z")[:26]) for m in cell.messages if m["msg_type"] == "update_display_data"][:-1]
    gaps = [b - a for a, b in zip(sent, sent[1:])]
    assert min(gaps) > timedelta(milliseconds=80), gaps

    cell = Cell(kernel.client, "--%rows 3\nSELECT MOD(id, 5) AS k, COUNT(*) AS n FROM g GROUP BY MOD(id, 5)")
    cell.until("repaints", lambda cell: len(cell.of("update_display_data")) >= 3)
    kernel.manager.interrupt_kernel()
    assert cell.done()["status"] == "ok"
    assert "\n... 2 more\n" in cell.shown()[0], cell.shown()

    # No row at all: the table is there, empty, and the query can be stopped.
    cell = Cell(kernel.client, "SELECT id FROM g WHERE id < 0; SELECT 1")
    cell.until("an empty table", lambda cell: "running" in "".join(cell.shown()))
    kernel.manager.interrupt_kernel()
    assert cell.done()["status"] == "error"
    assert cell.of("error")[0]["ename"] == "Interrupted"


def warnings_are_not_errors(kernel):
    cell = kernel.run("SELECT 1 AS one WHERE 1 = NULL")
    assert not cell.of("stream") and not cell.of("error"), cell.messages
    warned = [text for text in cell.shown() if text.startswith("warning: ")]
    assert len(warned) == 1 and "is never TRUE" in warned[0], cell.shown()


def variables(kernel):
    cell = kernel.run("--%var CITY=Bad Ems\n--%var TOP\nSELECT MAX(x) AS m FROM (VALUES (3), (7)) AS t(x)")
    assert "7" in cell.shown()[0], cell.shown()
    assert "| Bad Ems |   7 |" in kernel.run("SELECT '${CITY}' AS city, ${TOP} AS top").shown()[0]
    assert os.environ["HOME"] in kernel.run("SELECT '${HOME}' AS home").shown()[0]
    (error,) = kernel.run("SELECT '${NOT_THERE}' AS n", "error").of("error")
    assert "--%var NAME=value" in "".join(error["traceback"]), error
    (error,) = kernel.run("--%var MANY\nSELECT x FROM (VALUES (3), (7)) AS t(x)", "error").of("error")
    assert "takes one value" in error["evalue"], error
    code = "SELECT * FROM 'data/"
    found = kernel.reply(kernel.client.complete, code, len(code))
    assert found["matches"] and found["cursor_start"] == len(code), found


def nothing_in_a_stream_becomes_markup(kernel):
    bad = "<script>alert(1)</script><img src=x onerror=alert(2)>$\\href{javascript:alert(3)}{x}$ \u202e\u05d0 \u001b[31m"
    literal = bad.replace("'", "''")
    cell = kernel.run(f"SELECT '{literal}' AS `<b>`, CAST(NULL AS STRING) AS n, 'a\nb' AS l, '日本' AS w")
    html, text = cell.shown("text/html")[0], cell.shown()[0]
    for form in (html, text):
        assert "\u001b" not in form and "\u202e" not in form and "a↵b" in form and "日本" in form, form
    assert "<script" not in html and "<img" not in html and "<b>" not in html, html
    assert "$\\href" not in html and "<i>NULL</i>" in html, html
    cell = kernel.run(f"--%chart bar x=c y=n\nSELECT '{literal}' AS c, 1 AS n")
    (chart,) = cell.shown("application/vnd.vegalite.v5+json")
    assert "\u001b" not in json.dumps(chart, ensure_ascii=False)
    wide = kernel.run("SELECT " + ", ".join(f"{i} AS c{i}" for i in range(500)))
    assert "440 more columns" in wide.shown()[0] and len(wide.shown("text/html")[0]) < 50_000


def jobs_go_on_beside_cells(kernel):
    kernel.run("CREATE TABLE s WITH ('connector' = 'blackhole') LIKE g (EXCLUDING OPTIONS)")
    first = kernel.run("INSERT INTO s SELECT * FROM g")
    second = kernel.run("--%background\nSELECT COUNT(*) AS n FROM g")
    updates = {first.id: 0, second.id: 0}

    def both():
        message = first.take() or {"msg_type": ""}
        if message["msg_type"] in ("display_data", "update_display_data"):
            updates[message["parent_header"]["msg_id"]] += 1
        return all(n >= 2 for n in updates.values())

    until("updates of both after their cells", both)
    jobs = kernel.run("SHOW JOBS").shown()[0]
    running = [line.split("|")[1].strip() for line in jobs.splitlines() if "RUNNING" in line]
    assert len(running) == 2, jobs
    for job in running:
        kernel.run(f"STOP JOB '{job}'")
    assert "RUNNING" not in kernel.run("SHOW JOBS").shown()[0]
    printed = Cell(kernel.client, "CREATE TABLE p (x INT) WITH ('connector' = 'print'); SET 'table.dml-sync' = 'true'; INSERT INTO p VALUES (7)")
    printed.until("what print writes", lambda cell: any("7" in c["text"] for c in cell.of("stream")))
    assert printed.done()["status"] == "ok"
    kernel.run("RESET 'table.dml-sync'")


def cells_that_wait_are_dropped(kernel):
    cells = [Cell(kernel.client, code) for code in ("SELECT nope", "SELECT 1")]
    assert cells[0].done()["status"] == "error"
    reply = kernel.client.get_shell_msg(timeout=60)
    assert reply["parent_header"]["msg_id"] == cells[1].id and reply["content"]["status"] in ("aborted", "ok")
    kernel.run("SELECT 1")


def a_killed_kernel_hangs_nobody(place):
    kernel = Kernel(place)
    kernel.run(STREAM + "CREATE TABLE s WITH ('connector' = 'blackhole') LIKE g (EXCLUDING OPTIONS); INSERT INTO s SELECT * FROM g")
    kernel.client.stop_channels()
    os.kill(kernel.manager.provisioner.process.pid, signal.SIGKILL)
    until("the end of the killed kernel", lambda: not kernel.manager.is_alive())
    kernel.manager.restart_kernel(now=True)
    kernel.connect()
    # Told to end with a job and a query running, it ends.
    kernel.run(STREAM + "CREATE TABLE s WITH ('connector' = 'blackhole') LIKE g (EXCLUDING OPTIONS); INSERT INTO s SELECT * FROM g")
    cell = Cell(kernel.client, "SELECT * FROM g")
    cell.until("rows", lambda cell: cell.displays)
    kernel.end()


def nbconvert_executes_the_example(place):
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--output", "out.ipynb", "reliability.ipynb"]
    done = subprocess.run(command, cwd=place.work, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    results = []
    for name in ("out.ipynb", "reliability.ipynb"):
        cells = nbformat.read(os.path.join(place.work, name), 4).cells
        results.append([[o.get("data", {}) for o in c.outputs] for c in cells if c.cell_type == "code"])
    executed, saved = results
    assert "\n".join(executed[1][0]["text/plain"].splitlines()[:-1]) == "\n".join(saved[1][0]["text/plain"].splitlines()[:-1])
    rows = lambda data: sorted(line for line in data["text/plain"].splitlines() if line.startswith("|"))
    assert rows(executed[2][0]) == rows(saved[2][0]) and len(rows(executed[2][0])) == 10, executed[2]
    charts = [o["application/vnd.vegalite.v5+json"] for cell in executed for o in cell if "application/vnd.vegalite.v5+json" in o]
    assert [c["mark"]["type"] for c in charts] == ["bar", "point", "bar", "line"], charts
    assert len(charts[0]["data"]["values"]) == 8 and len(charts[2]["data"]["values"]) == 301
    # The line of the README.
    table = pyarrow.ipc.open_file(os.path.join(place.work, "reliability.arrow")).read_all()
    assert table.num_rows == 9 and table.column_names == ["brand", "readings", "faults", "reliability"]
    assert sum(table["readings"].to_pylist()) == 301 and "Thermix" in table["brand"].to_pylist()


place = Place()
try:
    kernel = Kernel(place)
    for check in (statements, warnings_are_not_errors, variables, a_table_follows_its_stream, nothing_in_a_stream_becomes_markup, jobs_go_on_beside_cells, cells_that_wait_are_dropped):
        check(kernel)
        print("ok", check.__name__)
    kernel.end()
    for check in (a_killed_kernel_hangs_nobody, nbconvert_executes_the_example):
        check(place)
        print("ok", check.__name__)
finally:
    place.remove()
