"""The list of models is what their cards and files say."""

import re

from click.testing import CliRunner

import clicv2_keras
from clicv2_keras.cli.main import COMMANDS, main
from clicv2_keras.recipe.shapes import ENCODERS
from clicv2_keras.utils.package_data import trained_presets


def test_each_model_stands_there_once_with_all_that_its_card_says():
    models = clicv2_keras.list_models()
    assert {name for model in models for name in (model.name, *model.aliases)} == set(trained_presets())
    assert models[0].aliases == ("default",)
    for model in models:
        folder = trained_presets()[model.name]
        card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
        for text in (model.purpose, model.agreement, model.what, model.licence):
            assert text and f"| {text} |" in card
        assert model.size == (folder / "dynamic.tflite").stat().st_size


def test_the_command_prints_a_table_of_them_and_the_encoders(monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    result = CliRunner().invoke(main, ["models"])
    assert result.exit_code == 0
    rows = result.output.splitlines()
    for model in clicv2_keras.list_models():
        (row,) = (row for row in rows if row.startswith(model.name))
        texts = (text.replace("`", "").replace("*", "") for text in (model.purpose, model.agreement))
        assert all(text in row for text in texts) and row.endswith(f"  {model.size / 1e6:.1f}")
    assert all(name in result.output for name in ENCODERS)


def test_a_narrow_terminal_gets_wrapped_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = CliRunner().invoke(main, ["models"]).output.partition("\n\n")[0].splitlines()
    assert max(map(len, rows)) <= 80
    column = rows[0].index("for")
    words = " ".join(row[column : rows[0].index("SRCC")].strip() for row in rows[1:])
    assert all(model.purpose.replace("*", "") in words for model in clicv2_keras.list_models())


def test_a_card_without_the_rows_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "MODEL_CARD.md").write_text("# mine\n")
    monkeypatch.setattr("clicv2_keras.utils.model_list.trained_presets", lambda: {"mine": tmp_path / "mine"})
    (model,) = clicv2_keras.list_models()
    assert model == ("mine", (), "", "", "", "", None)
    assert CliRunner().invoke(main, ["models"]).output.splitlines()[1].split() == ["mine", "–"]


def test_help_gives_whole_sentences_in_the_order_of_a_newcomers_path():
    shown = CliRunner().invoke(main, ["--help"]).output.partition("comes to need them:\n")[2]
    commands = re.findall(r"^  (\w+) +(.*(?:\n {4,}.*)*)", shown, re.M)
    assert [name for name, _ in commands] == list(COMMANDS) and list(COMMANDS)[0] == "score"
    for _, sentence in commands:
        assert sentence[0].isupper() and sentence.endswith(".") and "..." not in sentence
