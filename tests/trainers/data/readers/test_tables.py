"""Tables in text files: separators, quotes, blank and ragged lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainers.data.readers.reading import layout, pairs, refused, write
from trainers.data.readers import read_interactions
from trainers.data.readers.tables import find_separator


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "user,item\n7,3\n7,10\n2,3\n"),
        ("A.CSV", "user,item\n7,3\n7,10\n2,3"),
        ("bom.csv", "\ufeffuser,item\n7,3\n7,10\n2,3\n"),
        ("crlf.csv", "user,item\r\n7,3\r\n7,10\r\n2,3\r\n"),
        ("mac.csv", "user,item\r7,3\r7,10\r2,3\r"),
        ("spaces.csv", "user, item\n7, 3\n7, 10\n2 ,3\n"),
        ("blank lines.csv", "\nuser,item\n7,3\n\n7,10\n   \n2,3\n,\n\n"),
        ("more.csv", "time,item_id,x,User_ID\n1,3,,7\n2,10,x,7\n3,3,,2\n"),
        ("semicolons.csv", "user;item\n7;3\n7;10\n2;3\n"),
        ("tabs.csv", "user\titem\n7\t3\n7\t10\n2\t3\n"),
        ("commas.tsv", "user,item\n7,3\n7,10\n2,3\n"),
        ("bars.dat", "user|item\n7|3\n7|10\n2|3\n"),
        ("spaces.dat", "user  item\n 7 3\n7   10 \n2 3\n"),
        ("colons.data", "7::3\n7::10\n2::3\n"),
        ("quoted.csv", '"user","item","x"\n"7","3","a,b\nc"\n7,10,"say ""hi"""\n"2",3,\n'),
        ("quoted.tsv", '"user"\t"item"\n"7"\t"3"\n"7"\t"10"\n"2"\t"3"\n'),
        ("quoted ids.tsv", 'user\titem\n"7"\t"3"\n"7"\t"10"\n"2"\t"3"\n'),
        ("quoted users.tsv", 'user\titem\tname\n"7"\t3\t"say ""hi"""\n"7"\t10\t""\n"2"\t3\tx\n'),
        ("quoted users.dat", '"7" 3\n"7" 10\n"2" 3\n'),
        ("a.inter", "user_id:token\titem_id:token\n7\t3\n7\t10\n2\t3\n"),
        ("quotes.tsv", 'user\titem\tname\n7\t3\t"Weird Al\n7\t10\t12"\n2\t3\tx\n'),
        ("quotes in a csv.csv", 'user,item,name\n7,3,Weird "Al"\n7,10,12"\n2,3,x\n'),
    ],
)
def test_reads(name: str, text: str, tmp_path: Path) -> None:
    assert pairs(read_interactions(write(tmp_path, name, text))) == [(7, 3), (7, 10), (2, 3)]


def test_some_quotes_in_a_table_with_tabs_are_plain_characters(tmp_path: Path) -> None:
    text = 'user\titem\n"7"\t3\n7\t"Heat"\n2\t3\n'
    assert pairs(read_interactions(write(tmp_path, "a.tsv", text)))[:2] == [('"7"', "3"), ("7", '"Heat"')]
    inches = 'user\titem\n"7"\t12"\n"2"\t3\n'
    assert pairs(read_interactions(write(tmp_path, "b.tsv", inches))) == [('"7"', '12"'), ('"2"', "3")]


def test_a_separator_may_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, "a.dat", "user//item\n7//3\n2//4\n")
    refused(path, "name another separator", "data: {separator:")
    raw = read_interactions(path, layout(separator="//"))
    assert (pairs(raw), "'//'" in raw.said) == ([(7, 3), (2, 4)], True)
    ragged = write(tmp_path, "b.dat", "user//item\n7//3\n2//4//5\n")
    refused(ragged, "line 3", "2 fields", "has 3", "'2//4//5'", separator="//")


@pytest.mark.parametrize(
    ("lines", "separator"),
    [
        (["1;2;3,5", "1;2;4,5"], ";"),
        (["user;item;note", "1;2;3,5"], ";"),
        (["a,b;c,d", "e,f;g,h"], ","),
        (["1::Toy Story, or so::a|b", "2::Heat::a"], "::"),
        (["1\t2\t2020-01-01 10:00,5", "1\t2\tx"], "\t"),
        (["Smith A. B.,x", "Bob,y"], ","),
        (['"a,b";c', '"d";e'], ";"),
        (["1 2", "3 4"], " "),
        (["12", "34"], None),
    ],
)
def test_separators(lines: list[str], separator: str | None) -> None:
    assert find_separator(lines) == separator


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("short.csv", "user,item\n0,5\n1\n", ["line 3", "2 fields", "has 1", "'1'"]),
        ("long.csv", "user,item\n0,5\n1,7,8\n", ["line 3", "2 fields", "has 3", "'1,7,8'"]),
        ("long lines.csv", "user,item\n9,0,5\n9,1,7\n", ["line 2", "'9,0,5'"]),
        ("after blanks.csv", "user,item\n\n0,5\n  \n,,\n\n1,2,3\n", ["line 7", "'1,2,3'"]),
        ("crlf.csv", "user,item\r\n0,5\r\n1\r\n", ["line 3", "'1'"]),
        ("sep.csv", "sep=;\nuser;item\n0;5\n1\n", ["line 4", "'1'"]),
        ("colons.dat", "1::2::3::881250949\n1::2::3\n", ["line 2", "4 fields", "`::`", "'1::2::3'"]),
        ("open quote.csv", 'user,item\n0,5\n1,"7\n2,3\n', ["line 3", "quotes", "'1,\"7'"]),
        ("odd quote.csv", 'user,item\n0,5\n1,"7"8\n2,3\n', ["line 3", "quotes", "'1,\"7\"8'"]),
        ("quoted short.csv", 'user,item\n"0\n","5"\n"1"\n', ["line 4", "2 fields", "has 1"]),
        ("endless.csv", 'user,item\n"1",2\n"' + "9" * 200_000 + '",5\n', ["line 3", "field larger than"]),
        ("endless first.csv", '"' + "9" * 200_000 + '",5\n1,2\n', ["whether the first line names", "999'..."]),
        ("endless name.csv", "user," + "x" * 5000 + "\n1,2\n", ["one column named item", "xxx..."]),
        ("one column.csv", "user\n5\n", ["columns must be separated by"]),
        ("empty id.csv", "user,item\n0,5\n,7\n", ["line 3", "'user' is empty", "',7'"]),
        ("blank id.csv", "user,item\n\n0,5\n1,  \n", ["line 4", "'item' is empty"]),
        ("quoted id.csv", 'user,item,x\n"0",5,"\n\n"\n"",7,1\n', ["line 5", "'user' is empty", "'\"\",7,1'"]),
        ("empty name.csv", "user,\n0,5\n", ["one column named item"]),
    ],
)
def test_malformed(name: str, text: str, words: list[str], tmp_path: Path) -> None:
    refused(write(tmp_path, name, text), *words)


def test_a_ragged_line_among_many_is_found(tmp_path: Path) -> None:
    """It is beyond the first block of the reader. The line before it has the missing field, so the total is right."""
    lines = ["12345678,12345678"] * 1_000_000
    lines[999_000] = "1,2,3"
    lines[999_001] = "9"
    refused(write(tmp_path, "a.csv", "user,item\n" + "\n".join(lines)), "line 999002", "'1,2,3'")


def test_quotes_need_a_separator_of_one_character(tmp_path: Path) -> None:
    path = write(tmp_path, "a.dat", '"1"::"2"::"3"\n"4"::"5"::"6"\n')
    refused(path, "separated by one character, the separator is '::'", "remove the quotes")
    columns = {"user": 0, "item": 1}
    refused(path, "separated by one character", separator="::", header=False, columns=columns)
    one = write(tmp_path, "b.dat", '"1":"2":"3"\n"4":"5":"6"\n')
    assert pairs(read_interactions(one, layout(separator=":", header=False, columns=columns))) == [(1, 2), (4, 5)]


@pytest.mark.parametrize("text", [";\n", ";;\n;\n"])
@pytest.mark.parametrize("header", [True, False, None])
def test_a_file_of_separators_alone_is_refused(text: str, header: bool | None, tmp_path: Path) -> None:
    refused(write(tmp_path, "a.csv", text), "holds no interactions: all lines are blank", header=header)
