"""JupyterLab in a headless browser: tables and charts that follow their streams, interrupt, a saved notebook.

With AFFLUENT_SCREENSHOTS=folder, pictures of what a person would see are left there.
"""

import os
import shutil
import socket
import subprocess
import sys
import urllib.request

import nbformat
from common import Place, until
from playwright.sync_api import sync_playwright

CELLS = [
    """CREATE TABLE g (n BIGINT, ts TIMESTAMP(3)) WITH ('connector' = 'datagen', 'rows-per-second' = '200',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000000');
CREATE TABLE h (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '0', 'number-of-rows' = '3000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '3000');""",
    "--%background\n--%chart line x=ts y=v points=200\nSELECT ts, SIN(n / 100.0) AS v FROM g;",
    "SELECT '<script>document.title = ''owned''</script><img src=x onerror=\"document.title = ''owned''\">' AS bad;\n"
    "SELECT n, MOD(n * 7919, 1000) AS m, JSON_OBJECT('t' VALUE REPEAT('long ', 100)) AS j, 'beside it' AS b FROM h;",
    "SELECT MOD(n, 3) AS k, COUNT(*) AS c FROM g GROUP BY MOD(n, 3);",
]


def write(place):
    cells = [nbformat.v4.new_code_cell(code, id=f"c{i}") for i, code in enumerate(CELLS)]
    kernelspec = {"name": "affluent", "display_name": "Affluent SQL", "language": "sql"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec})
    nbformat.write(notebook, os.path.join(place.work, "live.ipynb"))


def browser():
    return next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


def check(place, url):
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1200, "height": 1500})
        page.set_default_timeout(60_000)

        def picture(name):
            if folder := os.environ.get("AFFLUENT_SCREENSHOTS"):
                page.screenshot(path=os.path.join(folder, f"{name}.png"))

        page.goto(f"{url}/lab")
        page.get_by_text("Affluent SQL").first.wait_for()
        picture("launcher")
        page.goto(f"{url}/lab/tree/live.ipynb?reset")
        page.locator(".jp-CodeCell").nth(3).wait_for()
        page.get_by_text("Affluent SQL | Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        cell = lambda i: page.locator(".jp-CodeCell").nth(i).locator(".jp-OutputArea")
        # The last cell runs for ever, and its table follows.
        line = cell(3).locator("div", has_text="rows read").last
        line.wait_for()
        first = line.inner_text()
        until("another count", lambda: line.inner_text() != first)
        assert "running" in line.inner_text(), line.inner_text()
        assert cell(3).locator("tbody tr").count() == 3
        # The chart of the cell before, too, although that cell has ended.
        chart = cell(1).locator(".vega-embed canvas, .vega-embed svg").first
        chart.wait_for()
        below = cell(1).locator("div", has_text="rows read").last
        first = below.inner_text()
        until("another count below the chart", lambda: below.inner_text() != first)
        picture("running")
        page.locator(".jp-CodeCell").nth(3).click()
        page.get_by_role("menuitem", name="Kernel", exact=True).click()
        page.get_by_text("Interrupt Kernel", exact=True).click()
        until("the stopped query", lambda: "stopped after" in line.inner_text())
        page.get_by_text("Affluent SQL | Idle").wait_for()
        assert "<script>document.title" in cell(2).inner_text(), cell(2).inner_text()
        assert "owned" not in page.title()
        # A large result scrolls in its box, a click sorts it, and long values do not squeeze their neighbours.
        large = cell(2).locator("table").nth(1)
        rows = large.locator("tbody tr")
        assert rows.count() == 1000, rows.count()
        box = large.locator("xpath=..").evaluate("e => [e.scrollHeight, e.clientHeight]")
        assert box[0] > 5 * box[1], box
        large.locator("th").nth(1).click()
        values = lambda: [int(rows.nth(i).locator("td").nth(1).inner_text()) for i in (0, 1, 500, 999)]
        assert values() == sorted(values()), values()
        large.locator("th").nth(1).click()
        assert values() == sorted(values(), reverse=True), values()
        beside = rows.first.locator("td").nth(3).evaluate("e => [e.scrollHeight, e.textContent]")
        assert beside[0] < 150 and beside[1] == "beside it", beside
        height = rows.first.evaluate("e => e.offsetHeight")
        assert height < 150, height
        picture("stopped")
        page.keyboard.press("Control+s")

        def saved():
            try:
                cells = nbformat.read(os.path.join(place.work, "live.ipynb"), 4).cells
            except nbformat.reader.NotJSONError:
                return None  # half written
            outputs = [[o.get("data", {}) for o in c.outputs] for c in cells]
            return outputs if outputs[3] else None

        outputs = until("the saved notebook", saved)
        assert "stopped after" in outputs[3][-1]["text/html"], outputs[3]
        drawn = len(outputs[1][0]["application/vnd.vegalite.v5+json"]["data"]["values"])
        assert 0 < drawn <= 200, drawn
        page.get_by_role("menuitem", name="Kernel", exact=True).click()
        page.get_by_text("Restart Kernel…", exact=True).click()
        page.get_by_role("button", name="Confirm Kernel Restart").click()
        page.get_by_text("Affluent SQL | Idle").wait_for()


def main():
    if not browser() and "JUPYTER_PYTHON" not in os.environ:
        print("left out: there is no Chromium", file=sys.stderr)
        return
    place = Place()
    write(place)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1",
        "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={place.work}",
        "--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    log = open(os.path.join(place.folder, "lab.log"), "w+")
    server = subprocess.Popen(command, cwd=place.work, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def up():
        assert server.poll() is None, "JupyterLab ended"
        try:
            return urllib.request.urlopen(f"{url}/api").status == 200
        except OSError:
            return False

    try:
        until("JupyterLab", up)
        check(place, url)
        print("ok lab")
    except BaseException:
        log.seek(0)
        print(log.read()[-4000:], file=sys.stderr)
        raise
    finally:
        server.terminate()
        server.wait()
        place.remove()


main()
