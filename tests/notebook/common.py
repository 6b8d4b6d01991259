"""What the checks share: a kernel in folders of its own."""

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time

PATIENCE = 60


class Place:
    """A temporary folder with the installed kernel and the example's files."""

    def __init__(self):
        self.program, self.sql = sys.argv[1], sys.argv[2]
        self.folder = tempfile.mkdtemp(prefix="affluent-notebook-")
        data = os.path.join(self.folder, "share", "jupyter")
        os.environ.update(
            HOME=self.folder,
            JUPYTER_PATH=data,
            JUPYTER_DATA_DIR=os.path.join(self.folder, "data"),
            JUPYTER_CONFIG_DIR=os.path.join(self.folder, "config"),
            JUPYTER_RUNTIME_DIR=os.path.join(self.folder, "runtime"),
            JUPYTER_PLATFORM_DIRS="0",
        )
        os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
        install = [self.program, "kernel", "install", "--prefix", self.folder]
        said = subprocess.run(install, check=True, capture_output=True, text=True).stdout
        assert data in said, said
        self.work = os.path.join(self.folder, "work")
        shutil.copytree(os.path.join(self.sql, "data"), os.path.join(self.work, "data"))
        shutil.copy(os.path.join(self.sql, "reliability.ipynb"), self.work)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def until(what, condition, patience=PATIENCE):
    """Waits for a condition and gives its value."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


class Cell:
    """A cell on its way through a kernel."""

    def __init__(self, client, code):
        self.client, self.id = client, client.execute(code)
        self.messages, self.idle, self.displays = [], False, {}

    def take(self):
        """Takes the next message of the kernel, whatever cell it belongs to."""
        try:
            message = self.client.get_iopub_msg(timeout=0.2)
        except queue.Empty:
            return None
        if message["parent_header"].get("msg_id") == self.id:
            self.messages.append(message)
            content = message["content"]
            if message["msg_type"] in ("display_data", "update_display_data"):
                key = content.get("transient", {}).get("display_id") or len(self.displays)
                self.displays[key] = content["data"]
            if content.get("execution_state") == "idle":
                self.idle = True
        return message

    def until(self, what, condition):
        def look():
            self.take()
            return condition(self)

        return until(what, look)

    def done(self):
        """Waits for its end; the reply."""
        self.until("the end of the cell", lambda cell: cell.idle)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == self.id:
                return reply["content"]
        raise AssertionError("no reply")

    def of(self, kind):
        return [m["content"] for m in self.messages if m["msg_type"] == kind]

    def shown(self, mime="text/plain"):
        return [data[mime] for data in self.displays.values() if mime in data]
