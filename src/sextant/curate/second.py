"""The second look: a model's verdicts on the few candidates that lead, within limits of calls, time and money.

Answers are kept in the catalog by picture, prompt and model, so the same question is asked once. Whatever goes wrong
with the endpoint becomes a reason beside the candidate; the ranking stands without it. How one picture is asked about
is the business of `vlm`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field

from sextant import vlm
from sextant.catalog import Catalog
from sextant.errors import UsageError
from sextant.types import Progress
from sextant.vlm import Endpoint, Failure, Reply, Verdict, Vlm

AT_ONCE = 4
DOWN_AFTER = 3
"""So many failures in a row, and none that went well before: the endpoint counts as down and is asked no more."""
USUAL_PROMPT = 2500
"""Tokens that a picture and the question are taken to cost before the endpoint has said what they do."""

Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class SecondLook:
    """How to ask a model. `price` is money for a million tokens in and out; `budget` the most of it to spend."""

    endpoint: Endpoint
    top: int = 12
    purpose: str = ""
    seconds: float = 300.0
    calls: int | None = None
    price: tuple[float, float] | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        if self.top < 1 or self.seconds <= 0 or (self.calls is not None and self.calls < 0):
            raise UsageError("a model looks at 1 picture at least, in some time, and is called 0 times or more")
        if self.budget is not None and (self.price is None or self.budget < 0):
            raise UsageError("a budget needs the prices of a million tokens in and out: --vlm-price IN,OUT")
        if self.price is not None and not all(0 <= p < float("inf") for p in self.price):
            raise UsageError("a price is a number from 0 up")


@dataclass
class Looked:
    """What came of it: verdicts and reasons why there is none, by image; and what it took."""

    model: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    cached: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0])
    money: float | None = None


def look(
    catalog: Catalog,
    second: SecondLook,
    query: str,
    pictures: Sequence[tuple[str, Callable[[], bytes]]],
    *,
    progress: Report | None = None,
) -> Looked:
    """The verdicts on pictures, each an image id with a way to its JPEG; those that lead are asked about first."""
    prompt = vlm.prompt_for(query, second.purpose)
    hashed, model = vlm.prompt_hash(prompt), second.endpoint.model
    pictures = pictures[: second.top]
    known = catalog.judgements([image for image, _ in pictures], hashed, model)
    run = _Run(second, prompt, Looked(model, money=0.0 if second.price else None))
    for image, answer in known.items():
        run.looked.verdicts[image] = Verdict(**answer)
        run.looked.cached += 1
    run.ask(
        [(image, jpeg) for image, jpeg in pictures if image not in known],
        lambda image, verdict: catalog.put_judgement(image, hashed, model, asdict(verdict)),
        progress,
    )
    return run.looked


class _Run:
    """One round of questions: at most four under way, and none begun that a limit forbids."""

    def __init__(self, second: SecondLook, prompt: str, looked: Looked) -> None:
        self.second, self.prompt, self.looked = second, prompt, looked
        self._vlm = Vlm(second.endpoint)
        self._ends = time.monotonic() + second.seconds
        self._dearest = self._cost((USUAL_PROMPT, vlm.MOST_TOKENS))
        self._failed_in_a_row = 0

    def ask(
        self,
        pictures: Sequence[tuple[str, Callable[[], bytes]]],
        keep: Callable[[str, Verdict], None],
        progress: Report | None,
    ) -> None:
        """Asks about every picture, as far as the limits go."""
        begun, waiting = time.monotonic(), deque(pictures)
        running: dict[Future[Reply | Failure], str] = {}
        try:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sextant-vlm") as pool:
                while waiting or running:
                    while waiting and len(running) < AT_ONCE:
                        reason = self._forbidden(len(running))
                        if reason == "wait":
                            break
                        image, jpeg = waiting.popleft()
                        if reason:
                            self.looked.failures[image] = reason
                            continue
                        self.looked.calls += 1
                        running[pool.submit(self._one, jpeg)] = image
                    for done in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                        self._take(running.pop(done), done.result(), keep)
                        if progress:
                            asked = len(pictures) - len(waiting) - len(running)
                            progress(Progress("curate: asking", asked, len(pictures), time.monotonic() - begun))
        except BaseException:
            self._vlm.stop()
            raise

    def _one(self, jpeg: Callable[[], bytes]) -> Reply | Failure:
        try:
            picture = jpeg()
        except Exception as error:  # noqa: BLE001 – one picture that cannot be read again must not end the run
            return Failure(f"the picture could not be read again: {error}")
        left = self._ends - time.monotonic()
        return self._vlm.judge(self.prompt, picture, seconds=left) if left > 0 else Failure("no time was left")

    def _forbidden(self, running: int) -> str:
        """Why no further call may begin; `wait` where one that is under way decides."""
        second, looked = self.second, self.looked
        if self._failed_in_a_row >= DOWN_AFTER and not looked.verdicts:
            return "the endpoint is not asked any more: it failed every time"
        if time.monotonic() >= self._ends:
            return f"the {second.seconds:g} s for all calls were over"
        if second.calls is not None and looked.calls >= second.calls:
            return f"the {second.calls} calls that were allowed are used up"
        if second.budget is not None and looked.money is not None:
            if looked.money + self._dearest > second.budget:
                return f"the budget of {second.budget:g} is used up"
            if looked.money + self._dearest * (running + 1) > second.budget or (running and looked.calls == running):
                return "wait"
        return ""

    def _take(self, image: str, answer: Reply | Failure, keep: Callable[[str, Verdict], None]) -> None:
        self._count(answer)
        if isinstance(answer, Reply):
            self._failed_in_a_row = 0
            self.looked.verdicts[image] = answer.verdict
            keep(image, answer.verdict)
            return
        self._failed_in_a_row += 1
        over = time.monotonic() >= self._ends
        self.looked.failures[image] = (
            f"the {self.second.seconds:g} s for all calls were over" if over else answer.reason
        )

    def _count(self, answer: Reply | Failure) -> None:
        """What a call took; one whose tokens nobody counted is taken to be as dear as the dearest."""
        if answer.tokens:
            for place, tokens in enumerate(answer.tokens):
                self.looked.tokens[place] += tokens
        if self.looked.money is not None:
            cost = self._cost(answer.tokens) if answer.tokens else self._dearest
            self.looked.money += cost
            self._dearest = max(self._dearest, cost)

    def _cost(self, tokens: tuple[int, int]) -> float:
        price = self.second.price or (0.0, 0.0)
        return (tokens[0] * price[0] + tokens[1] * price[1]) / 1e6
