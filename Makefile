# make demo: a corpus, a trained model, a sample.   make test: the tests.   make lint: style.
# Each makes .venv itself. Without make, the same commands stand in README.md.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint clean

demo: .venv/running
	@test -f out/tiny/loss.png || $(BIN)/python train.py tiny
	@echo
	$(BIN)/python sample.py --model out/tiny --num-samples 3

test: .venv/testing
	$(BIN)/python -m pytest

lint: .venv/testing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv

.venv/running: requirements.txt
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('Python 3.11 or newer is needed: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/testing: requirements-dev.txt .venv/running
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
