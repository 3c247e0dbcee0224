from draw_image import draw_image

from clicv2_keras.data.class_folders import open_class_folders


def test_hidden_folders_are_no_classes(tmp_path):
    for name in ("train/a", "train/b", "val/a", "val/b"):
        draw_image(tmp_path / name / "0.jpg")
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    assert set(open_class_folders(tmp_path).classes) == {"a", "b"}
