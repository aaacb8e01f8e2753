"""Files as programs on a Chinese Windows write them: read for what they are, or refused, never taken for another."""

import dataclasses
import re

import pytest

from data.prepare import PrepareConfig, prepare
from gpt.errors import UserError
from gpt.files.encodings import BEGINNING, encoding_of, read_user_text
from gpt.files.tables import read_rows
from gpt.finetuning.predict import PredictConfig, read_texts
from gpt.inside.given import read_text
from gpt.tokenizer import Tokenizer
from tests.helpers import small_training
from train import train

EXCEL = "text,label\r\n这本书很好，值得一看！,好评\r\n“房间太小”，不会再来,差评\r\n服务态度差…,差评\r\n"
ROWS = [("这本书很好，值得一看！", "好评"), ("“房间太小”，不会再来", "差评"), ("服务态度差…", "差评")]
BOOK = "从前有一只小猫，它住在山脚下的小屋里。\r\n“你好！”小猫说。它要到大山的那边去看看。\r\n"
KOREAN = "이 영화는 정말 재미있었습니다. 다음에 다시 보고 싶네요. 배우들의 연기가 훌륭했고 음악도 좋았습니다."
JAPANESE = "この映画はとても面白かったです。音楽も良かったので、また見たいと思います。"
TAIWANESE = "這部電影非常好看，我很喜歡，下次還要再來。房間也大，但是早餐不好吃。"


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-8", "utf-8-sig", "utf-16"])
def test_a_table_saved_by_excel_is_read_in_every_encoding_it_has(tmp_path, encoding):
    path = tmp_path / "评论 一.csv"
    path.write_bytes(EXCEL.encode(encoding))
    assert [(row["text"], row["label"]) for _, row in read_rows(path, ("text", "label"))] == ROWS


@pytest.mark.parametrize("encoding", ["gbk", "utf-8-sig", "utf-16"])
def test_a_book_gives_the_same_tokens_in_every_encoding(tmp_path, encoding):
    folders = {}
    for name in ("utf-8", encoding):
        book = tmp_path / name / "书.txt"
        book.parent.mkdir()
        book.write_bytes((BOOK * 200).encode(name))
        prepare(PrepareConfig((book,), tmp_path / name / "tokens", 300))
        folders[name] = tmp_path / name / "tokens"
    for file in ("train.bin", "val.bin", "merges.txt"):
        assert (folders["utf-8"] / file).read_bytes() == (folders[encoding] / file).read_bytes()


def test_a_note_says_so_once(tmp_path, capsys):
    path = tmp_path / "excel.csv"
    path.write_bytes(EXCEL.encode("gbk"))
    list(read_rows(path, ("text",)))
    list(read_rows(path, ("text",)))
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "excel.csv is not UTF-8 but Chinese in GBK" in err


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(KOREAN, "euc-kr"), (JAPANESE, "euc-jp"), (JAPANESE, "shift-jis"), (TAIWANESE, "big5"), ("élève ÄÖ", "latin-1")],
)
def test_other_languages_are_not_taken_for_chinese(tmp_path, text, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(UserError, match="not UTF-8"):
        read_user_text(path)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_character_that_the_first_look_cuts_in_two_changes_nothing(tmp_path, shift):
    for encoding, expected in (("gbk", "gb18030"), ("utf-8", "utf-8-sig")):
        path = tmp_path / f"{encoding}.txt"
        path.write_bytes(b"a" * shift + "你的猫是好的".encode(encoding) * BEGINNING)
        assert encoding_of(path) == expected


def test_gbk_that_is_damaged_further_on_is_one_line(tmp_path):
    for name in ("bad.csv", "bad.txt"):
        (tmp_path / name).write_bytes((EXCEL * 5000).encode("gbk") + b"\xff\xff\n")
        with pytest.raises(UserError, match=f"{name} is not UTF-8 text: see byte 445,000"):
            prepare(PrepareConfig((tmp_path / name,), tmp_path / "out", 300))
    assert not (tmp_path / "out").exists()


def test_utf16_that_is_cut_is_not_called_utf8(tmp_path):
    (tmp_path / "bad.txt").write_bytes(BOOK.encode("utf-16")[:-1])
    with pytest.raises(UserError, match="not UTF-16 text: see byte"):
        prepare(PrepareConfig((tmp_path / "bad.txt",), tmp_path / "out", 300))


@pytest.mark.parametrize("name", ["文章.docx.txt", "表格.xlsx.csv", "旧的.xls.csv"])
def test_a_file_of_word_or_excel_is_called_so_whatever_its_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes((b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" if ".xls." in name else b"PK\x03\x04") + b"\x14\0\xff")
    with pytest.raises(UserError, match="no text but a file of Word or Excel"):
        prepare(PrepareConfig((path,), tmp_path / "out", 300))


def test_texts_to_label_and_to_look_at_may_be_in_gbk(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("很好，我很喜欢\r\n太差了\r\n".encode("gbk"))
    assert read_texts(PredictConfig((), file=path)) == ["很好，我很喜欢", "太差了"]
    tokenizer = Tokenizer.train([BOOK], 300)
    assert tokenizer.decode(read_text(f"@{path}", tokenizer)[0]).split() == ["很好，我很喜欢", "太差了"]


def test_folders_may_have_spaces_and_chinese_names(tmp_path, python_source):
    place = tmp_path / "我的 文档（新）"
    place.mkdir()
    (place / "一 本书.txt").write_text(python_source[:50_000], encoding="utf-8")
    prepare(PrepareConfig((place / "一 本书.txt",), place / "语 料", 300))
    train(dataclasses.replace(small_training(place / "语 料", place / "模 型"), max_steps=2))
    with pytest.raises(
        UserError, match=re.escape(f'python -m data.prepare "{place / "一 本书.txt"}" --out "data/一 本书"')
    ):
        train(small_training(place / "一 本书.txt", place / "新"))
    assert (place / "模 型" / "model.safetensors").is_file() and (place / "模 型" / "loss.png").is_file()
