"""Answers that tell the sizes of their items ahead, as a multipart one does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import FormatError, IncompleteBatchError
from asyncbatch.batch import BatchStream
from asyncbatch.codecs._formats import OBJECT, parse_format

from ..support.batches import FakeAnswer, FakeBody, FakeSource, request_of, split, tar
from ..support.zips import Entry, build

if TYPE_CHECKING:
    from asyncbatch.batch import BatchRequest

pytestmark = pytest.mark.anyio

DATA = {"a": b"1" * 100, "b": b"", "c": b"3" * 3000}
SIZES = [100, 0, 3000]


class Source(FakeSource):
    """Tells sizes, wrong ones at first, and right ones when it is asked again."""

    def __init__(self, form: str, *sizes: list[int]) -> None:
        super().__init__()
        self._form = parse_format(form)
        self._told = list(sizes)

    async def open_batch(self, request: BatchRequest) -> Any:  # noqa: ANN401
        members = [(entry.name, DATA[entry.name]) for entry in request.entries]
        archive = (
            tar(members)
            if self._form.container == "tar"
            else build([Entry(name.encode(), data, 0, 0, "signed") for name, data in members])
        )
        self.requests.append(request)
        self.bodies.append(FakeBody(split(archive, 512)))
        answer = FakeAnswer(request, self.bodies[-1], self._form)
        sizes = self._told.pop(0) if self._told else SIZES
        answer.sizes = sizes[-len(members) :]
        return answer

    async def open_entry(self, request: BatchRequest) -> Any:  # noqa: ANN401
        (entry,) = request.entries
        answer = FakeAnswer(request, FakeBody([DATA[entry.name]]), OBJECT)
        answer.sizes = [len(DATA[entry.name])]
        return answer


@pytest.mark.parametrize("form", [".tar", ".zip"])
@pytest.mark.parametrize("wrong", [[100, 0, 2999], [100, 1, 3000], [101, 0, 3000]])
@pytest.mark.parametrize("in_chunks", [False, True])
async def test_where_they_are_wrong_another_answer_is_asked_for(
    form: str,
    wrong: list[int],
    in_chunks: bool,  # noqa: FBT001
) -> None:
    source = Source(form, SIZES)
    assert len(await BatchStream(source, request_of(DATA)).read_all()) == 3
    source = Source(form, wrong)
    batch = BatchStream(source, request_of(DATA), max_resumes=2)
    if in_chunks:
        found = {member.metadata.name: await member.read() async for member in batch.members()}
    else:
        found = {metadata.name: data async for metadata, data in batch}
    assert found == DATA
    assert len(source.requests) == 2
    with pytest.raises(IncompleteBatchError) as caught:
        await BatchStream(Source(form, wrong), request_of(DATA)).read_all()
    if form == ".zip":
        assert isinstance(caught.value.__cause__, FormatError)


async def test_a_damaged_tar_is_no_matter_of_sizes() -> None:
    source = Source(".tar")
    batch = BatchStream(source, request_of(DATA), max_resumes=2)
    await anext(batch)
    source.bodies[0]._steps = iter([b"\xff" * 4096])
    with pytest.raises(FormatError):
        await batch.read_all()
    assert len(source.requests) == 1
