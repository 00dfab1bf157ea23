"""Where one request becomes one reply: key, limits, fault, image, delivery."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiohttp import web

from pipeline.core.simulation import pixels_of
from pipeline.provider.simulator.admission import Admission
from pipeline.provider.simulator.asked import Asked, BadAsk
from pipeline.provider.simulator.bill import Bill
from pipeline.provider.simulator.chance import latency_of, number_of, share_of
from pipeline.provider.simulator.delivery import (
    deliver,
    keep_alive,
    never,
    pause,
    reset,
    response_of,
)
from pipeline.provider.simulator.fate import Turn, fault_of
from pipeline.provider.simulator.faults import PLAYS, SOUND, Delivery, Head, Play, error_head
from pipeline.provider.simulator.replies import Kept, Replies
from pipeline.provider.simulator.said import Frame, Said
from pipeline.provider.simulator.shapes import CHAT, Shape
from pipeline.provider.simulator.stage import Stage, head_of

if TYPE_CHECKING:
    from pipeline.core.simulation import Simulation
    from pipeline.provider.simulator.painter import Painter
    from pipeline.provider.simulator.turnstile import Verdict

_NO_KEY = error_head(401, "Missing or unknown key: send `Authorization: Bearer <api_key>`")
_TOO_MANY = error_head(
    429, "Rate limit exceeded", {"error_type": "rate_limit_exceeded"}, has_retry_after=True
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    """A request that was let in, with all that was settled for it before anything is sent.

    ``due`` is the loop's time at which the image may be out.
    """

    request: web.Request
    shape: Shape
    asked: Asked
    play: Play
    frame: Frame
    due: float


class Desk:
    """Serves completions and images, and keeps the bill."""

    def __init__(self, simulation: Simulation, painter: Painter) -> None:
        """``simulation`` must be without flaws (``pipeline.core.simulation.flaws_of``)."""
        self.bill = Bill()
        self.admission = Admission(simulation)
        self._simulation = simulation
        self._painter = painter
        self._base = pixels_of(simulation.image_size) or (512, 512)
        self._n_admitted = 0
        self._attempts: Counter[str] = Counter()
        self._replies = Replies(simulation.idempotency_header)
        self._stage = Stage(simulation) if simulation.scenario else None

    @property
    def peak(self) -> int:
        """The most requests that were let in at once."""
        return self._stage.peak if self._stage else self.admission.peak

    def may_enter(self, request: web.Request) -> bool:
        """Whether the request bears the key, where one is asked for."""
        key = self._simulation.api_key
        return key is None or request.headers.get("Authorization") == f"Bearer {key}"

    def turned_away(self) -> web.Response:
        """The reply to a request without the key."""
        return self._reply(_NO_KEY)

    async def complete(self, request: web.Request, shape: Shape = CHAT) -> web.StreamResponse:
        """``POST /v1/chat/completions``, or what else has a ``shape``."""
        self.bill.requests += 1
        if not self.may_enter(request):
            return self._refuse(_NO_KEY)
        raw = await request.read()
        if self._stage is not None:
            return await self._perform(self._stage, request, shape, raw)
        wait_s = self.admission.enter(asyncio.get_running_loop().time())
        if wait_s is not None:
            return self._refuse(_TOO_MANY, retry_after_s=wait_s)
        try:
            return await self._answer(request, shape, raw)
        finally:
            self.admission.leave()

    async def _perform(
        self, stage: Stage, request: web.Request, shape: Shape, raw: bytes
    ) -> web.StreamResponse:
        """As :meth:`complete`, where a scenario says what happens."""
        turnstile = stage.turnstile(request.headers.get("Authorization", ""))
        verdict = turnstile.enter(asyncio.get_running_loop().time())
        if not verdict.is_let_in:
            return self._refuse(head_of(verdict))
        try:
            return await self._answer(request, shape, raw, verdict)
        finally:
            turnstile.leave()

    async def _answer(
        self, request: web.Request, shape: Shape, raw: bytes, verdict: Verdict | None = None
    ) -> web.StreamResponse:
        try:
            asked = shape.asked(raw, self._base)
        except BadAsk as wrong:
            return self._refuse(error_head(400, str(wrong), {"error_type": "invalid_request"}))
        exchange = self._settled(request, shape, asked, verdict)
        if exchange.play.delivery is Delivery.RESET:
            return reset(request)
        if exchange.play.delivery is Delivery.HANG:
            await never()
        head = exchange.play.head
        if head is not None:
            await pause(until=exchange.due)
            return self._refuse(head, generation=exchange.frame.id)
        is_streamed = asked.is_streamed and not exchange.play.is_plain
        return await (self._stream(exchange) if is_streamed else self._send(exchange))

    def _settled(
        self, request: web.Request, shape: Shape, asked: Asked, verdict: Verdict | None
    ) -> _Exchange:
        """Count, draw and charge: a client that leaves early is charged all the same.

        (OpenRouter, api_reference/streaming: most providers go on and bill in full.)
        """
        self._n_admitted += 1
        self._attempts[asked.key] += 1
        known = self._replies.known(request.headers, asked)
        if known is not None:
            return self._again(request, shape, asked, known)
        if verdict is not None and verdict.n_images != 1:
            asked = replace(asked, n_images=verdict.n_images)
        turn = Turn(asked=asked, attempt=self._attempts[asked.key], request=self._n_admitted)
        latency_s = self._latency_of(turn) if verdict is None else verdict.after_s
        fault = fault_of(turn, self._simulation) if verdict is None else verdict.fault
        if fault is not None and PLAYS[fault].spares(asked):
            fault = None
        play = SOUND if fault is None else PLAYS[fault]
        if fault is not None:
            self.bill.by_fault[fault] += 1
        frame = self._charged(turn, play)
        self._replies.keep(request.headers, asked, Kept(play=play, frame=frame))
        return _Exchange(
            request=request,
            shape=shape,
            asked=asked,
            play=play,
            frame=frame,
            due=asyncio.get_running_loop().time() + latency_s,
        )

    def _again(self, request: web.Request, shape: Shape, asked: Asked, known: Kept) -> _Exchange:
        """The exchange that gives a reply once more, at once."""
        self.bill.replayed += 1
        now = asyncio.get_running_loop().time()
        return _Exchange(
            request=request, shape=shape, asked=asked, play=known.play, frame=known.frame, due=now
        )

    def _charged(self, turn: Turn, play: Play) -> Frame:
        """The frame of the reply, which is on the bill if it carries what costs."""
        asked, plan = turn.asked, self._simulation
        n_images = (asked.n_images or plan.images_per_reply) if play.is_billed else 0
        cost_usd = n_images * self._price_of(turn)
        frame = self._frame_of(turn, cost_usd=cost_usd if plan.tells_cost else None)
        if n_images:
            self.bill.charge(n_images, cost_usd)
            if plan.bill_prompts:
                self.bill.charge_prompt(asked.prompt, n_images, generation=frame.id)
        return frame

    def _price_of(self, turn: Turn) -> float:
        """Of an image: the model's, and where prices spread, a draw around it."""
        plan, usd = self._simulation, self._simulation.price_of(turn.asked.model)
        if not plan.price_spread:
            return usd
        share = share_of("price", plan.seed, turn.asked.key, turn.attempt)
        return usd * (1 + plan.price_spread * (2 * share - 1))

    def _frame_of(self, turn: Turn, *, cost_usd: float | None) -> Frame:
        number = number_of("reply", self._simulation.seed, turn.asked.key, turn.attempt)
        return Frame(
            id=f"gen-{turn.request}-{number:016x}",
            model=turn.asked.model,
            created=int(time.time()),
            prompt=turn.asked.prompt,
            cost_usd=cost_usd,
        )

    def _latency_of(self, turn: Turn) -> float:
        plan = self._simulation
        words = ("latency", plan.seed, turn.asked.key, turn.attempt)
        return latency_of(plan.latency_s, plan.latency_p99_s, *words)

    async def _said(self, exchange: _Exchange) -> Said:
        images = await self._painter.images(exchange.asked)
        said = Said(text="Here is the image you asked for.", images=images)
        alter = exchange.play.alter
        return said if alter is None else alter(said)

    async def _send(self, exchange: _Exchange) -> web.StreamResponse:
        document = exchange.shape.document(await self._said(exchange), exchange.frame)
        pieces = (exchange.play.lead, *document)
        await pause(until=exchange.due)
        response = web.StreamResponse(headers=_headers("application/json", exchange))
        response.content_length = sum(map(len, pieces))
        return await self._deliver(exchange, response, pieces)

    async def _stream(self, exchange: _Exchange) -> web.StreamResponse:
        response = web.StreamResponse(headers=_headers("text/event-stream", exchange))
        await response.prepare(exchange.request)
        with suppress(ConnectionResetError):  # as below
            await keep_alive(response, until=exchange.due, every_s=self._simulation.keep_alive_s)
        pieces = exchange.shape.events(await self._said(exchange), exchange.frame)
        return await self._deliver(exchange, response, pieces)

    async def _deliver(
        self, exchange: _Exchange, response: web.StreamResponse, pieces: tuple[bytes, ...]
    ) -> web.StreamResponse:
        self.bill.by_status["200"] += 1
        with suppress(ConnectionResetError):  # a client that goes away is no error of ours
            if not response.prepared:
                await response.prepare(exchange.request)
            await deliver(exchange.request, response, pieces, exchange.play.delivery)
        return response

    def _refuse(
        self, head: Head, *, retry_after_s: float | None = None, generation: str | None = None
    ) -> web.Response:
        self.bill.by_status[str(head.status)] += 1
        return self._reply(head, retry_after_s=retry_after_s, generation=generation)

    def _reply(
        self, head: Head, *, retry_after_s: float | None = None, generation: str | None = None
    ) -> web.Response:
        hint_s = self._simulation.retry_after_s if retry_after_s is None else retry_after_s
        return response_of(head, retry_after_s=hint_s, generation=generation)


def _headers(media_type: str, exchange: _Exchange) -> dict[str, str]:
    return {"Content-Type": media_type, "X-Generation-Id": exchange.frame.id}
