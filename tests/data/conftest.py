"""What the tests of the tasks share."""

import functools

import pytest

from data.world.tasks import told


@pytest.fixture(scope="session", autouse=True)
def each_story_is_told_once():
    """Tasks ask about the same stories, and of fifty that are told one is for the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(told, "tell", functools.cache(told.tell))
        yield
