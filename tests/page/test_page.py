"""The page: what stands on it, that nothing hostile gets through, that it stays small, and how a browser shows it."""

from __future__ import annotations

import base64
import hashlib
import html
import html.parser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stress.commands.replay.find import find
from stress.commands.report.charts import interval_bar
from stress.commands.report.charts import scale_for
from stress.commands.report.html import escape
from stress.commands.report.html import tag
from stress.commands.report.items import name
from stress.commands.report.overview import hours
from stress.commands.report.overview import run_table
from stress.commands.report.page import page_of
from stress.commands.report.style import COPY_SCRIPT
from stress.model.verdict import Verdict
from tests.made_records import MAC
from tests.made_records import Made
from tests.made_records import hostile_strings
from tests.made_records import run_of
from tests.made_records import simulated
from tests.page.made_page import write_runs

PAGE_BYTES_MAX = 2_000_000
LINEAR = "scenarios/linear.py::SharedLinear[float32-t8]"
ELEMENTS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "h3",
        "p",
        "span",
        "strong",
        "br",
        "small",
        "section",
        "ul",
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "div",
        "details",
        "summary",
        "pre",
        "code",
        "a",
        "svg",
        "line",
        "path",
        "circle",
        "text",
        "nav",
        "ol",
        "wbr",
        "script",
    ]
)
ATTRIBUTES = frozenset(
    [
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "class",
        "scope",
        "href",
        "rel",
        "open",
        "width",
        "height",
        "role",
        "aria-label",
        "title",
        "x1",
        "y1",
        "x2",
        "y2",
        "cx",
        "cy",
        "r",
        "x",
        "y",
        "d",
        "text-anchor",
        "stroke-opacity",
        "id",
        "colspan",
        "data-name",
    ]
)


class Checked(html.parser.HTMLParser):
    """Collects the visible text, and fails on any element, attribute or link that the page has no use for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: list[str] = []
        self.styles = 0
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS, tag
        self.styles += tag == "style"
        self._in_script = tag == "script"
        for attribute, value in attrs:
            assert attribute in ATTRIBUTES, (tag, attribute)
            if attribute == "href":
                self.links.append(value or "")

    def handle_data(self, data: str) -> None:
        (self.scripts if self._in_script else self.text).append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of([write_runs(tmp_path_factory.mktemp("runs"))], "made now")[0]


@pytest.fixture(scope="module")
def text(page: str) -> str:
    return " ".join("".join(Checked(page).text).split())


class TestViews:
    def test_a_click_copies_a_command_by_the_one_script_that_may_run(self, page: str) -> None:
        checked = Checked(page)
        assert checked.scripts == [COPY_SCRIPT]
        digest = base64.b64encode(hashlib.sha256(COPY_SCRIPT.encode()).digest()).decode()
        assert f"script-src &#x27;sha256-{digest}&#x27;;" in page
        assert re.search(r'<code class="copy" title="click to copy">(pytest|mps-stress replay) ', page)

    def test_hostile_records_add_no_script(self, hostile: str) -> None:
        assert Checked(hostile).scripts == [COPY_SCRIPT]

    def test_a_signature_has_one_block_over_all_builds_and_machines(self, tmp_path: Path) -> None:
        run_of(tmp_path / "a", {LINEAR: {"pass": 4, "crash": 1}})
        run_of(tmp_path / "b", {LINEAR: {"pass": 3, "crash": 2}}, environment={**MAC, "chip": "Apple M4"})
        page = page_of([tmp_path], "")[0]
        section = page[page.index("<h2>By signature</h2>") : page.index("<h2>Over torch builds</h2>")]
        assert section.count("<summary>") == 1
        assert "in 2 places, last on " in section
        assert ("<td>1/5</td>" in section, "<td>2/5</td>" in section) == (True, True)
        assert section.count('<code class="copy"') == 2

    def test_a_failure_says_when_it_was_seen_first_and_last(self, text: str) -> None:
        assert re.search(r"Seen first on \d{4}-\d\d-\d\d \d\d:\d\d, last on \d{4}-\d\d-\d\d", text)

    def test_attempts_per_minute_of_a_run(self, tmp_path: Path) -> None:
        made = run_of(tmp_path / "a", {LINEAR: {"pass": 30}})
        whole = page_of([tmp_path], "")[1]
        info = next(iter(whole.runs.values()))
        info.seconds = 90.0
        assert "<td>20</td>" in run_table(whole), made

    def test_a_planted_fault_has_an_age(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "a")
        made.attempts(LINEAR, {"pass": 5})
        made.attempts("c.py::Planted[t8]", {"mismatch": 5})
        made.item("c.py::Planted[t8]", "mismatch", 5, 5, canary=True)
        made.end()
        told = "".join(Checked(page_of([tmp_path], "")[0]).text)
        assert re.search(
            r"The last one was found on \d{4}-\d\d-\d\d \d\d:\d\d, in the newest run here\.", told
        )

    @pytest.mark.parametrize(
        ("seconds", "shown"), [(5, "5 seconds"), (150, "2 minutes"), (7200, "2 hours"), (400_000, "5 days")]
    )
    def test_an_age_is_in_the_unit_that_fits(self, seconds: float, shown: str) -> None:
        assert hours(seconds) == shown

    def test_orders_that_are_new_stand_with_their_caveat(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "a")
        for _ in range(2):
            made.attempt(LINEAR, "pass", hand_overs="f0")
        made.attempt(LINEAR.replace("t8", "t4"), "pass", threads=4, hand_overs="3")
        made.end()
        told = "".join(Checked(page_of([tmp_path], "")[0]).text)
        assert (
            "in one more attempt about 0 % of the hand-overs between threads would be new (Good-Turing, 1 item; biased"
            in told
        )


class TestWhatStandsOnIt:
    @pytest.mark.parametrize(
        "shown",
        [
            "6 runs, ",
            "real Apple GPU",
            "simulated device: proves the detector, and says nothing about Metal",
            "Apple M4, macOS 15.5",
            "CRASH SIGABRT 3/80",
            "CANARY FOUND 10/10",
            "metal/encoder-overlap",
            "failed assertion `A command encoder is already encoding",
            "mismatch: cross-talk: 1 item, 2 of 82 attempts",
            "SharedLinear[float32-t16]7/800/7",
            "thread 3: running iteration 4, phase step, op aten::linear",
            "cross-talk: thread 1 iteration 9: 12 of 64 elements are thread 3's; largest error 0.31, allowed 1e-05",
            "Again: pytest '",
            "pool 8 x 50: 0 races in 3 runs; canary found",
            "answers per second",
            '"chip": "Apple M2 Pro"',
        ],
    )
    def test_is_shown(self, text: str, shown: str) -> None:
        assert shown in text

    def test_builds_are_never_added(self, text: str) -> None:
        assert "5 of 9 items failed17 of 646 attempts; 2 runs" in text  # two nights of one build
        assert "3 of 9 items failed5 of 323 attempts; 1 run" in text  # the night of the other one
        assert "22 of 969" not in text

    def test_unlike_items_have_no_rate_together(self, text: str) -> None:
        assert "5 of 9 items failed (17 of their 326 attempts); a failure rate of" in text
        assert "together" not in text

    def test_what_is_not_shown_is_told(self, text: str) -> None:
        assert "that planted faults are found on simulated, AMD EPYC, Linux, 2 cores" in text
        assert "have no one-thread control" in text

    def test_a_word_says_its_meaning(self, page: str) -> None:
        for verdict in (Verdict.PASS, Verdict.CRASH):
            assert re.search(rf'title="{re.escape(verdict.meaning)}">{verdict.word}\b', page)

    def test_links_lead_to_where_a_signature_was_reported_and_nowhere_else(self, page: str) -> None:
        links = Checked(page).links
        outside = [one for one in links if not one.startswith("#")]
        assert outside
        assert all(one.startswith("https://github.com/") for one in outside)

    def test_what_fails_comes_first_and_the_contents_lead_there(self, tmp_path: Path) -> None:
        run_of(tmp_path / "a", {LINEAR: {"pass": 5}})
        run_of(tmp_path / "b", {LINEAR: {"pass": 4, "crash": 1}}, environment={**MAC, "chip": "Apple M4"})
        page = page_of([tmp_path], "")[0]
        headings = re.findall(r'<section id="(.*?)"><h2>(.*?)</h2>', page)
        assert headings[0] == ("section-0", "real: Apple M4, macOS 26.1, 12 cores")
        assert headings[1] == ("section-1", "real: Apple M2 Pro, macOS 26.1, 12 cores")
        listed = re.findall(r'<li><a href="#(.*?)">(.*?)</a>', page)
        assert listed == headings
        assert (
            '<a href="#section-0">real: Apple M4, macOS 26.1, 12 cores</a> <span class="bad">1 of 1 item failed'
            in page
        )

    def test_green_needs_attempts_that_count_and_canaries_that_were_found(self, tmp_path: Path) -> None:
        run_of(tmp_path / "a", {LINEAR: {"inconclusive": 5}})
        made = Made(tmp_path / "b", environment={**MAC, "chip": "Apple M4"})
        made.attempts(LINEAR, {"pass": 5})
        made.attempts("c.py::Planted[t8]", {"pass": 5})
        made.item("c.py::Planted[t8]", "inconclusive", 5, 0, canary=True)
        made.end()
        page = page_of([tmp_path], "")[0]
        assert page.count('<span class="unsure">nothing counts</span>') == 2  # contents and machines
        assert page.count('<span class="unsure">none of 1 item failed</span>') == 3  # and the first sentence
        assert '<span class="unsure">no attempt of 1 item counts</span>' in page
        assert 'class="pass">none of' not in page

    def test_groups_of_one_machine_have_headings_that_differ(self, page: str, tmp_path: Path) -> None:
        for made in (page, page_of([self._two_settings(tmp_path)], "")[0]):
            headings = re.findall(r"<h2>(.*?)</h2>", made)
            assert len(set(headings)) == len(headings)
        assert "real: Apple M2 Pro, macOS 26.1, 12 cores, MPS_FORCE_GRAPH_PATH=1" in headings

    def _two_settings(self, folder: Path) -> Path:
        run_of(folder / "a", {LINEAR: {"pass": 5}})
        run_of(folder / "b", {LINEAR: {"pass": 5}}, environment={**MAC, "env": {"MPS_FORCE_GRAPH_PATH": "1"}})
        return folder

    def test_one_fault_in_many_items_is_one_block_with_a_list(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        for number in range(14):
            made.attempts(
                f"scenarios/ops.py::S{number}[t8]", {"pass": 3, "crash": 2}, signature="metal/encoder-overlap"
            )
        page = page_of([made.end().folder], "")[0]
        assert "<summary>metal/encoder-overlap: 14 items, 28 of 70 attempts</summary>" in page
        assert page.count("<summary>metal/encoder-overlap: 14 items") == 1
        assert page.count("Known: ") == 1

    @pytest.mark.parametrize("where", ["runs/new", "results/runs"])
    def test_the_line_that_repeats_an_attempt_names_a_run_that_is_there(
        self, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = "2026-11-12T0100Z-m2pro-aaaa"
        made = Made(tmp_path / where / run, rootdir=str(tmp_path))
        named = made.start(LINEAR, serial=17)
        made.write("attempt_end", **named, serial=17, verdict="crash", seconds=0.5, headline="boom")
        made.end()
        monkeypatch.chdir(tmp_path)
        told = " ".join("".join(Checked(page_of([Path(where)], "")[0]).text).split())
        shown = f"runs/new/{run}/17" if where == "runs/new" else f"{run}/17"
        assert f"Again: mps-stress replay {shown} (same inputs" in told
        assert f"Without these records: pytest '{LINEAR}' --mps-threads=8" in told
        assert find(shown, tmp_path).folder == made.folder.resolve()

    def test_a_trend_is_of_runs_under_the_same_settings_and_its_absence_says_so(self, tmp_path: Path) -> None:
        armed = simulated(faults=[{"name": "commit_twice", "probability": 0.01}])
        run_of(tmp_path / "unlike" / "a", {LINEAR: {"pass": 5}}, **simulated())
        run_of(tmp_path / "unlike" / "b", {LINEAR: {"pass": 4, "crash": 1}}, **armed)
        told = "".join(Checked(page_of([tmp_path / "unlike"], "")[0]).text)
        assert "No failing item ran more than once on one machine under the same settings" in told
        run_of(tmp_path / "like" / "a", {LINEAR: {"pass": 5}}, **armed)
        run_of(tmp_path / "like" / "b", {LINEAR: {"pass": 4, "crash": 1}}, **armed)
        told = "".join(Checked(page_of([tmp_path / "like"], "")[0]).text)
        assert "2 runs, 1 build, 0 to" in told
        assert "no trend" not in told

    def test_a_name_breaks_between_its_parts_only(self) -> None:
        assert name("scenarios/canary.py::NotReentrant[float32-t8]") == (
            '<span class="name">scenarios/<wbr>canary.<wbr>py::<wbr>NotReentrant[<wbr>float32-<wbr>t8]</span>'
        )

    def test_a_scale_stands_below_each_bar(self, text: str) -> None:
        assert "0 25 % 50 %" in " ".join(Checked(interval_bar(1, 20, scale_for(0.27))).text)

    def test_a_clean_simulated_run_is_no_evidence_for_metal(self, tmp_path: Path) -> None:
        run_of(tmp_path / "run", {LINEAR: {"pass": 5}}, **simulated())
        told = "".join(Checked(page_of([tmp_path], "")[0]).text)
        assert "anything about a real Apple GPU: no attempt here ran on one" in told
        assert "real Apple GPU · " not in told

    def test_a_canary_that_was_missed_takes_the_worth_of_green(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        made.attempts(LINEAR, {"pass": 5})
        made.item(LINEAR, "inconclusive", 5, 0, canary=True)
        told = "".join(Checked(page_of([made.end().folder], "")[0]).text)
        assert "Only 0 of 1 canaries were found: the green results here are worth nothing." in told
        assert "CANARY MISSED" in told


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hostile")
    for number, bad in enumerate(hostile_strings()):
        made = Made(
            folder / f"run{number}", torch={"version": bad, "git": bad}, device_reason=bad, argv=[bad],
            environment={**MAC, "chip": bad, "host": bad, "env": {bad: bad}}, settings={"streams": bad},
        )  # fmt: skip
        item = f"a.py::S{bad}[t8]"
        finding = {
            "name": bad,
            "verdict": "crash",
            "text": bad,
            "thread": bad,
            "error_max": bad,
            "x" * 99: bad,
        }
        made.attempts(
            item, {"crash": 1}, headline=bad, signature=bad, signal=bad, notes=[bad], findings=[finding],
            stamps=[{"worker": bad, "op": bad, "status": bad}], stderr=f"run{number}.stderr", stacks=f"run{number}.stacks",
        )  # fmt: skip
        (made.folder / f"run{number}.stderr").write_text(bad)
        (made.folder / f"run{number}.stacks").write_text(bad)
        made.item(item, "crash", 1, 1, origin=[bad], notes=[bad], acceptable={"oom": bad}, sentence=bad)
        made.end()
    return page_of([folder], "made now")[0]


class TestHostileRecords:
    def test_nothing_becomes_markup(self, hostile: str) -> None:
        checked = Checked(hostile)
        assert checked.styles == 1
        assert all(link.startswith(("https://github.com/", "#section-")) for link in checked.links)
        assert "<script>alert(1)</script>" in "".join(checked.text)

    def test_control_characters_are_visible(self, hostile: str) -> None:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", hostile)
        assert "\\x1b" in hostile
        assert "\\u202e" in hostile

    def test_a_side_file_that_is_a_link_or_a_pipe_is_not_read(self, tmp_path: Path) -> None:
        import os

        secret = tmp_path / "secret"
        secret.write_text("what is none of the page's business")
        made = Made(tmp_path / "run")
        made.attempts(LINEAR, {"crash": 1}, stderr="a.stderr", stacks="a.stacks")
        (made.folder / "a.stderr").symlink_to(secret)
        os.mkfifo(made.folder / "a.stacks")
        page = page_of([made.end().folder], "")[0]
        assert "none of the page" not in page
        assert "Missing beside the record: a.stderr, a.stacks" in page

    def test_long_texts_are_cut(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run", device_reason="x" * 60_000)
        for number in range(300):
            made.attempts(f"a.py::S{number}[t8]", {"crash": 1}, headline=f"{number} " + "y" * 16_000)
        assert len(page_of([made.end().folder], "")[0].encode()) < PAGE_BYTES_MAX


class TestSize:
    def test_a_page_of_many_runs_and_builds_stays_below_2_mb(self, tmp_path: Path) -> None:
        for number in range(100):
            verdicts = {
                f"scenarios/some_subject.py::Scenario{one}[float32-t8]": {"pass": 1, "crash": 1}
                for one in range(60)
            }
            torch = {"version": f"2.16.0.dev{number // 10}", "git": f"{number // 10:040x}"}
            run_of(
                tmp_path / f"2026-11-01T{number:04}Z-host-0000", verdicts, torch=torch, time=1000.0 + number
            )
        page, whole = page_of([tmp_path], "")
        assert len(whole.runs) == 100
        assert len(page.encode()) < PAGE_BYTES_MAX


class TestCommand:
    def test_writes_the_page_and_says_what_it_read(self, tmp_path: Path) -> None:
        run_of(tmp_path / "run", {LINEAR: {"pass": 5}})
        target = tmp_path / "page.html"
        done = subprocess.run(
            [sys.executable, "-m", "stress.commands.cli", "report", str(tmp_path / "run"), "-o", str(target)],
            capture_output=True, text=True, timeout=800, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{target}: 1 run, 12 records")
        assert target.read_text().startswith("<!doctype html>")

    def test_bad_input_is_one_sentence_and_status_2(self, tmp_path: Path) -> None:
        run_of(tmp_path / "run", {LINEAR: {"pass": 1}})
        for arguments in (["/nothing", "-o", "x.html"], [str(tmp_path / "run"), "-o", "/nothing/x.html"]):
            done = subprocess.run(
                [sys.executable, "-m", "stress.commands.cli", "report", *arguments],
                capture_output=True, text=True, timeout=800, check=False, cwd=tmp_path,
            )  # fmt: skip
            assert done.returncode == 2
            assert done.stderr.count("\n") == 1


def test_escaping_cannot_be_left_out() -> None:
    assert tag("p", "<b>", title='"x') == '<p title="&quot;x">&lt;b&gt;</p>'
    assert escape("a\nb") == "a\\nb"


MEASURE = """<!doctype html><html><body style="margin:0"><iframe id="f" style="border:0;width:100%;height:400px"></iframe>
<pre id="out"></pre><script>
const f = document.getElementById("f");
f.onload = () => {{
  const d = f.contentDocument, root = d.documentElement, style = f.contentWindow.getComputedStyle(d.body);
  d.querySelectorAll("details").forEach(one => one.open = true);
  const right = what => Math.max(0, ...[...d.querySelectorAll(what)].map(one => one.getBoundingClientRect().right));
  const broken = [];
  d.querySelectorAll(".name").forEach(one => one.childNodes.forEach(part => {{
    if (part.nodeType !== 3) return;
    const range = d.createRange();
    range.selectNodeContents(part);
    const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
    if (lines.size > 1) broken.push(part.textContent);
  }}));
  const halves = [...d.querySelectorAll("section .halves")].map(one => [...one.children].map(part => part.getBoundingClientRect().left));
  document.getElementById("out").textContent = JSON.stringify({{scroll: root.scrollWidth, client: root.clientWidth,
    font: parseFloat(style.fontSize), background: style.backgroundColor, broken, halves,
    bars: right(".rates svg"), controls: right('.rates td[data-name="one thread"], .rates td:last-child'), names: right(".rates .name")}});
}};
f.srcdoc = {page};
</script></body></html>"""


@pytest.mark.parametrize("width", [500, 1280])
def test_a_real_browser_shows_it_without_scrolling_sideways(page: str, tmp_path: Path, width: int) -> None:
    """Chromium makes no window narrower than 500; phones are narrower, so the body is measured at 390 too."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    frame = tmp_path / "frame.html"
    narrow = MEASURE.replace("width:100%", "width:390px") if width == 500 else MEASURE
    frame.write_text(narrow.format(page=json.dumps(page).replace("</", "<\\/")))
    common = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    dumped = subprocess.run(
        [*common, f"--window-size={width},900", "--virtual-time-budget=3000", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=800, check=True,
    ).stdout  # fmt: skip
    found = re.search(r'<pre id="out">(\{.*?\})</pre>', dumped)
    assert found is not None, dumped[-2000:]
    measured = json.loads(html.unescape(found[1]))
    wide = 390 if width == 500 else width
    assert wide - 20 <= measured["client"] <= wide  # a scroll bar takes some
    assert measured["scroll"] <= measured["client"]
    assert measured["font"] >= 14
    assert measured["broken"] == []
    for what in ("bars", "controls", "names"):  # inside of the page, not of a box that scrolls
        assert 0 < measured[what] <= measured["client"], what
    side_by_side = [
        lefts for lefts in measured["halves"] if len(lefts) == 2 and lefts[1] > measured["client"] * 0.45
    ]
    assert bool(side_by_side) == (width == 1280)
    target = tmp_path / "page.html"
    target.write_text(page)
    picture = tmp_path / "page.png"
    subprocess.run(
        [*common, f"--window-size={width},2000", f"--screenshot={picture}", target.as_uri()],
        capture_output=True, timeout=800, check=True,
    )  # fmt: skip
    header = picture.read_bytes()[:24]
    assert int.from_bytes(header[16:20]) == width
    assert len(set(picture.read_bytes())) > 100  # something was painted
