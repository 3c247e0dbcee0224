import io

from clicv2_keras.deployment.scoring.rows import Row
from clicv2_keras.deployment.scoring.terminal import Progress, Table


def test_neither_a_name_nor_a_servers_words_reach_the_terminal_as_codes():
    lines = []
    table = Table(lambda line, color: lines.append((line, color)))
    table.add(Row("\x1b[2Ja.jpg", 0.5, 40, 30))
    table.add(Row("b.jpg", error="404 \x1b]0;mine\x07gone"))
    assert all(line.isprintable() for line, _ in lines)
    assert "404" in lines[-1][0] and "gone" in lines[-1][0] and lines[-1][1] == "red"


def test_progress_counts_pictures_and_not_their_tiles():
    progress = Progress([], None, io.StringIO())
    for name in ("a.jpg#xywh=0,0,8,8", "a.jpg#xywh=8,0,8,8", "b.jpg#xywh=0,0,8,8", "c.jpg", "c.jpg"):
        progress(Row(name, 0.5, 16, 8))
    assert progress._done == 4
