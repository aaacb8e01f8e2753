# make demo: a corpus, a trained model, a sample, a classifier.   make test: the tests and all lessons.   make lint: style and types.
# Each makes .venv itself. Without make, the same commands stand in README.md.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test notebooks notebooks-test wheelhouse lint clean

# Run again, it goes on where it was stopped; a finished fine-tuning only tells its results once more.
demo: .venv/running
	@test -f out/tiny/loss.png || $(BIN)/python train.py tiny $(call how,out/tiny)
	@echo
	$(BIN)/python sample.py --model out/tiny --num-samples 3
	@echo
	$(BIN)/python finetune.py --model out/tiny --data data/reviews --out out/sentiment $(call again,out/sentiment,out/tiny)
	@echo
	$(BIN)/python finetune.py predict --model out/sentiment --text \
		"I thought I would be happy about the music, and so I was. Like everyone, I was pleased about the story." \
		"I thought I would be happy about the music, but it was the opposite. Unlike me, everyone was pleased about the story." \
		"I thought I would be happy about the music, but it was the opposite. Like everyone, I was pleased about the story."

# A run that can go on does; one that was stopped before it had saved anything begins anew, and so does one whose
# pretrained model has been trained again since.
again = $$(if [ -f $(1)/resume.pt ] && [ $(2)/model.safetensors -nt $(1)/resume.pt ]; then echo --overwrite; else echo $(call how,$(1)); fi)
how = $$(if [ -f $(1)/resume.pt ]; then echo --resume; elif [ ! -f $(1)/model.safetensors ]; then echo --overwrite; fi)

# Two processes, on one thread each; a file stays in one of them, because its tests share what they train. Files are not
# reordered: by their number of tests, those with a few long ones would come last, and one process would wait for them.
# Bytecode is written, else each of a hundred short processes would compile the project again.
test: .venv/testing
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	$(MAKE) notebooks-test

# Makes the lessons' notebooks from notebooks/source/, with new outputs; LESSONS="01 02" makes only these.
notebooks: .venv/testing
	$(BIN)/python -m notebooks.build $(LESSONS)

# Runs every lesson, each within a time limit, and compares the notebooks with their sources.
notebooks-test: .venv/testing
	$(BIN)/python -m notebooks.build --check $(LESSONS)

# All packages of the lessons in wheelhouse/, for rooms without a network: make wheelhouse SYSTEMS="windows macos linux"
wheelhouse: .venv/testing
	$(BIN)/python -m notebooks.wheelhouse $(SYSTEMS)

lint: .venv/testing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

clean:
	rm -rf .venv

.venv/running: requirements.txt
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('Python 3.11 or newer is needed: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/testing: requirements/dev.txt requirements/export.txt requirements/serve.txt .venv/running
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	touch $@
