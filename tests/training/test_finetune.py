import contextlib
from dataclasses import replace

import keras
import numpy as np
import pytest
from tiny_network import tiny_feature_maps

from clicv2_keras.data.labelled.joint_sets import join_sets
from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.data.reading import load_images
from clicv2_keras.data.sources import FileSource
from clicv2_keras.evaluation.statistics import pcc
from clicv2_keras.layers import FeatureStem
from clicv2_keras.layers.patch_read_out import PARTS
from clicv2_keras.models import CLICv2, ComplexityScorer, LinearHead, ViTEncoder
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training import known_complexity
from clicv2_keras.training.callbacks.safeguards import CheckpointWriter
from clicv2_keras.training.finetune import finetune
from clicv2_keras.training.known_complexity import unseen_images
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fingerprints import fingerprint


def parts(root):
    data = open_scored("ic9600", root)
    return [
        (load_images(subset.source, range(len(subset)), 32), subset.scores)
        for subset in (data.subset(data.splits == part) for part in ("train", "test"))
    ]


def fingerprints(root):
    """Of the images of both parts."""
    data = open_scored("ic9600", root)
    codes = np.stack([fingerprint(data.source.load(i)) for i in range(len(data))])
    return codes[data.splits == "train"], codes[data.splits == "test"]


def copy_of(encoder):
    copy = type(encoder).from_config(encoder.get_config())
    copy.set_weights(encoder.get_weights())
    return copy


def test_the_head_learns_and_the_encoder_stays(tiny_encoder, ic9600, tmp_path):
    before = tiny_encoder.get_weights()
    finetune(tiny_encoder, "ic9600", ic9600, tmp_path / "deep" / "scorer.keras", progress=False)
    scorer = keras.saving.load_model(tmp_path / "deep" / "scorer.keras")
    (train, labels), (test, unseen) = parts(ic9600)
    out = scorer.predict(train, verbose=0)
    assert pcc(out["score"], labels) > 0.6
    assert pcc(scorer.predict(test, verbose=0)["score"], unseen) > 0.4
    np.testing.assert_allclose(out["map"].mean(axis=(1, 2)), out["score"], atol=1e-5)
    for now, then in zip(scorer.encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    seen, unseen = fingerprints(ic9600)
    assert scorer.head.fitted_to.known(seen).all() and not scorer.head.fitted_to.known(unseen).any()
    assert len(scorer.encoder.fitted_to) == 0
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "scorer.keras"]


@pytest.mark.slow
def test_labels_without_an_image_are_told(tiny_encoder, ic9600, tmp_path, capsys, monkeypatch):
    names = sorted(path.name for path in (ic9600 / "images").glob("*.jpg"))[:12]
    rows = "".join(f"{ic9600 / 'images' / name},{i}\n" for i, name in enumerate(names))
    (tmp_path / "half.csv").write_text(f"file,score\n{rows}gone.jpg,139\n")
    monkeypatch.chdir(tmp_path)
    finetune(tiny_encoder, "csv", "half.csv", "scorer.keras")
    # A run in the folder where one stands is named after it.
    finetune(tiny_encoder, "csv", "half.csv", None, whole=True, epochs=1, run_dir=".")
    told = capsys.readouterr().out
    assert told.count("1 label matches no image (left out): gone.jpg") == 2
    assert told.count("scores run from 0 to 139: taken as the ends of their range") == 2
    assert load_recipe(tmp_path / "recipe.yaml").name == tmp_path.name


def test_the_whole_network_fits_closer(tiny_encoder, ic9600):
    (train, labels), _ = parts(ic9600)
    head = finetune(copy_of(tiny_encoder), "ic9600", ic9600, None, progress=False)
    whole = finetune(
        copy_of(tiny_encoder), "ic9600", ic9600, None, whole=True, epochs=30, learning_rate=1e-2, progress=False
    )
    errors = [np.mean((s.predict(train, verbose=0)["score"] - labels) ** 2) for s in (head, whole)]
    assert errors[1] < 0.8 * errors[0]
    for part in (whole.encoder, whole.head):  # the labels trained both
        assert len(part.fitted_to) == 36 and part.fitted_to.known(fingerprints(ic9600)[0]).all()
    moved = zip(whole.encoder.get_weights(), tiny_encoder.get_weights(), strict=True)
    assert any(np.abs(now - then).max() > 1e-3 for now, then in moved)


@pytest.mark.slow
def test_the_stem_of_a_whole_network_has_a_rate_of_its_own(tiny_encoder, ic9600):
    stem = FeatureStem(tiny_feature_maps().select(max_stride=16))
    hybrid = ViTEncoder(image_size=32, patch_size=16, width=8, depth=1, num_heads=2, stem=stem)
    before = stem.get_weights()
    options = {"dataset": "ic9600", "root": ic9600, "whole": True, "epochs": 1, "progress": False}
    for rate in (0.0, 0.1):
        found = finetune(hybrid, **options, output=None, stem_rate=rate).encoder.stem
        same = [np.array_equal(*pair) for pair in zip(found.get_weights(), before, strict=True)]
        assert all(same) == (rate == 0) and bool(found.trainable_variables) == (rate > 0)
    with pytest.raises(UserError, match="encoder.stem_rate: the stem of .* is linear"):
        finetune(tiny_encoder, **options, output=None, stem_rate=0.1)


def test_vectors_do_not_decay(tiny_encoder, ic9600, decays):
    found = decays(CLICv2)
    finetune(copy_of(tiny_encoder), "ic9600", ic9600, None, whole=True, steadiness=0.0, progress=False)
    assert {moved for dimensions, moved in found if dimensions < 2} == {False}
    assert {moved for dimensions, moved in found if dimensions >= 2} == {True}


@pytest.mark.slow
def test_ranked_within_categories_the_level_is_the_mean_of_the_categories(tiny_encoder, ic9600):
    """Labels of one category that are lifted as a whole lift what ships by their share, and hardly bend a weight."""
    ranked = open_scored("ic9600", ic9600, ranked_within_category=True)
    ranked = replace(ranked, scores=0.3 + 0.4 * ranked.scores)  # far from the bounds, so that a lift is a lift
    images = parts(ic9600)[1][0]

    def bend(data, **options):
        """Correlation and mean difference of the scores with and without the lift."""
        lifted = replace(data, scores=data.scores + np.where(data.categories == "person", 0.2, 0.0))
        options |= {"steadiness": 0.0, "output": None, "progress": False}
        fitted = (finetune(copy_of(tiny_encoder), d, **options) for d in (data, lifted))
        before, after = (scorer.predict(images, verbose=0)["score"] for scorer in fitted)
        return pcc(before, after), np.mean(after - before)

    for settings in ({}, {"whole": True, "epochs": 1, "learning_rate": 1e-6}):
        correlation, lift = bend(ranked, **settings)
        assert correlation > bend(replace(ranked, ranked_within_category=False))[0] + 0.05
        assert lift == pytest.approx(0.2 / 3, abs=0.02)


@pytest.mark.slow
def test_the_whole_network_is_a_run_that_goes_on_from_its_checkpoint(tiny_encoder, ic9600, tmp_path):
    """Its folder tells all; a whole network that was interrupted ends with the same bits."""
    start = tmp_path / "start.keras"
    ComplexityScorer(tiny_encoder, LinearHead(("token",))).save(start)
    options = {"model": start, "dataset": "ic9600", "root": ic9600, "whole": True, "epochs": 3, "progress": False}
    options["batch_size"] = 16
    steady = finetune(**options, output=tmp_path / "steady.keras")
    run = tmp_path / "steady_run"
    assert {"recipe.yaml", "metrics.csv", "log.txt", "scorer.keras", "checkpoints"} <= {p.name for p in run.iterdir()}
    recipe = load_recipe(run / "recipe.yaml")
    assert recipe.encoder.weights == str(start) and recipe.labels.dataset == ["ic9600"]
    assert recipe.train.steps == 3 * 3 and recipe.labels.parts == ["token"]  # 36 images
    assert recipe.train.batch_size == 16
    with pytest.raises(UserError, match="holds a run; add --resume"):
        finetune(**options, output=tmp_path / "steady.keras")

    def stop(self, epoch, logs=None, original=CheckpointWriter.on_epoch_end):
        original(self, epoch, logs)
        if self.interval.step == 6:
            raise RuntimeError("the machine went away")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(CheckpointWriter, "on_epoch_end", stop)
        finetune(**options, output=None, run_dir=tmp_path / "killed")
    resumed = finetune(**options, output=tmp_path / "killed.keras", run_dir=tmp_path / "killed", resume=True)
    for one, other in zip(steady.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    loaded = keras.saving.load_model(tmp_path / "killed.keras")
    for part in (loaded.encoder, loaded.head):
        assert part.fitted_to.known(fingerprints(ic9600)[0]).all() and len(part.fitted_to) == 36


def test_a_run_of_another_model_at_hand_is_not_gone_on_with(tiny_encoder, ic9600, tmp_path):
    options = {"dataset": "ic9600", "root": ic9600, "output": None, "whole": True, "epochs": 1, "progress": False}
    options["run_dir"] = tmp_path / "run"
    finetune(tiny_encoder, **options)
    finetune(copy_of(tiny_encoder), **options, resume=True)
    with pytest.raises(UserError, match="run: holds the run of another model; name another run_dir"):
        finetune(tiny_encoder.untrained(1), **options, resume=True)


def test_a_set_of_which_no_image_opens_is_told(tiny_encoder, ic9600, tmp_path):
    data = open_scored("ic9600", ic9600)
    gone = replace(data, name="gone", source=FileSource([tmp_path / name for name in data.names], data.names))
    with pytest.raises(UserError, match="no image of gone can be read; mend it, or leave it out"):
        finetune(tiny_encoder, [gone, data], output=None, progress=False)


def test_drawn_images_fit_a_head_without_a_label(tiny_encoder, monkeypatch):
    drawn = unseen_images(32, 160)
    monkeypatch.setattr(known_complexity, "unseen_images", lambda image_size: drawn)
    scorer = finetune(tiny_encoder, "procedural", output=None, parts=("diversity",), progress=False)
    unseen = drawn.subset(drawn.splits == "test")
    images = load_images(unseen.source, range(len(unseen)), 32)
    assert pcc(scorer.predict(images, verbose=0)["score"], unseen.scores) > 0.6
    # No label of people's: every evaluation may use what it was fitted to.
    assert scorer.head.label_range is None and len(scorer.head.fitted_to) == 0
    for name, value in {"root": "here", "within_category": True, "whole": True}.items():
        with pytest.raises(UserError, match=f"--{name.replace('_', '-')}: means nothing for procedural images"):
            finetune(tiny_encoder, ["procedural"], output=None, progress=False, **{name: value})
    with pytest.raises(UserError, match="^procedural: is no scale of people's; fit to it alone"):
        finetune(tiny_encoder, ["procedural", "ic9600"], ["here"], output=None, progress=False)


def test_sets_at_hand_may_have_images_of_any_kind(tiny_encoder, ic9600):
    drawn, photos = unseen_images(32, 60), open_scored("ic9600", ic9600)
    joint = join_sets([photos.subset(photos.splits == "test"), drawn]).images
    count = int(np.sum(photos.splits == "test"))
    assert len(joint.source) == count + 60
    assert joint.names[count - 1 : count + 1] == [photos.subset(photos.splits == "test").names[-1], drawn.names[0]]
    assert joint.source.load(count + 59).size == drawn.source.load(59).size
    scorer = finetune(tiny_encoder, [photos, drawn], output=None, steadiness=0.0, progress=False)
    assert len(scorer.head.fitted_to) == int(np.sum(photos.splits == "train")) + 30


def test_the_head_reads_what_the_models_own_head_reads(tiny_encoder, ic9600):
    own = ComplexityScorer(tiny_encoder, LinearHead(("token",)))
    # What labels tell of the others would be lost.
    free = ComplexityScorer(tiny_encoder, LinearHead(("diversity",), label_range=None))
    for model, parts_read in ((own, ("token",)), (tiny_encoder, PARTS), (free, PARTS)):
        scorer = finetune(model, "ic9600", ic9600, None, progress=False)
        assert scorer.head.read_out.parts == parts_read


def test_a_run_folders_head_is_its_own_head_too(tiny_encoder, ic9600, tmp_path):
    options = {"dataset": "ic9600", "root": ic9600, "output": None, "progress": False}
    finetune(tiny_encoder, **options, parts=["token"], whole=True, epochs=1, run_dir=tmp_path / "run")
    assert finetune(tmp_path / "run", **options).head.read_out.parts == ("token",)


def test_images_are_computed_so_many_at_a_time_where_it_is_said(tiny_encoder, ic9600, monkeypatch):
    seen, predict = [], ViTEncoder.predict_on_batch

    @contextlib.contextmanager
    def scope(name):
        seen.append(name)
        yield
        seen.append("left")

    monkeypatch.setattr("clicv2_keras.training.finetune.device_scope", scope)
    monkeypatch.setattr(ViTEncoder, "predict_on_batch", lambda self, x: seen.append(len(x)) or predict(self, x))
    options = {"output": None, "progress": False, "steadiness": 0.0}
    some = finetune(tiny_encoder, "ic9600", ic9600, batch_size=10, device="gpu:1", **options)
    assert seen == ["gpu:1", 10, 10, 10, 6, "left"]
    monkeypatch.undo()
    many = finetune(tiny_encoder, "ic9600", ic9600, **options)
    np.testing.assert_allclose(some.head.get_weights()[0], many.head.get_weights()[0], rtol=1e-2, atol=1e-3)


def test_mistakes_in_one_line(tiny_encoder, ic9600, tmp_path):
    with pytest.raises(UserError, match="saved as a .keras file"):
        finetune(tiny_encoder, "ic9600", ic9600, tmp_path / "scorer.h5", progress=False)
    with pytest.raises(UserError, match="device: gpu:9 is not here"):
        finetune(tiny_encoder, "ic9600", ic9600, None, progress=False, device="gpu:9")
    with pytest.raises(UserError, match="--run-dir s3://bucket/run: is a URL"):
        finetune(tiny_encoder, "ic9600", ic9600, None, whole=True, run_dir="s3://bucket/run", progress=False)
    for name, value, says in (("seed", -1, "--seed -1: take"), ("steadiness", -1.0, "finetune: labels.steadiness: ")):
        with pytest.raises(UserError, match=says) as error:
            finetune(tiny_encoder, "ic9600", ic9600, None, whole=True, progress=False, **{name: value})
        assert "\n" not in str(error.value)
    of_whole = {"stem_rate": 0.1, "epochs": 3, "learning_rate": 1e-4, "run_dir": tmp_path / "run", "resume": True}
    for name, value in of_whole.items():
        with pytest.raises(UserError, match=f"--{name.replace('_', '-')}: is of the whole network, .* add --whole"):
            finetune(tiny_encoder, "ic9600", ic9600, None, progress=False, **{name: value})
    for splits in (("train", "vall"), ("train", "val", "test")):
        with pytest.raises(UserError, match=f"has no part {splits[1]} to be fitted to; .* there are test, train"):
            finetune(tiny_encoder, "ic9600", ic9600, None, splits=splits, progress=False)
    images = ic9600 / "images"
    table = f"file,score\n{images / 'objects_0001.jpg'},0.5\n{images / 'person_0002.jpg'},0.7\n"
    (tmp_path / "few.csv").write_text(table)
    with pytest.raises(UserError, match="2 readable labelled images are too few"):
        finetune(tiny_encoder, "csv", tmp_path / "few.csv", None, progress=False)
    with pytest.raises(UserError, match="few: has no part val to be fitted to; leave it out: there are no parts"):
        finetune(tiny_encoder, "csv", tmp_path / "few.csv", None, splits=["val"], progress=False)


def test_several_sets_share_a_head_and_the_common_scale_sets_its_level(tiny_encoder, ic9600, tmp_path):
    """Of one set's labels a third is taken off, and they are called ranked within categories."""
    data = open_scored("ic9600", ic9600)
    ranked = replace(data, name="ranked", scores=0.3 * data.scores, ranked_within_category=True)
    joint = finetune(tiny_encoder, [ranked, data], output=None, steadiness=0.0, progress=False)
    (train, labels), (test, unseen) = parts(ic9600)
    score = joint.predict(train, verbose=0)["score"]
    assert abs(score.mean() - labels.mean()) < 0.05
    assert pcc(joint.predict(test, verbose=0)["score"], unseen) > 0.4
    alone = finetune(tiny_encoder, [ranked], output=None, steadiness=0.0, progress=False)
    assert abs(alone.predict(train, verbose=0)["score"].mean() - 0.3 * labels.mean()) < 0.05
    with pytest.raises(UserError, match="2 data sets, but 1 roots"):
        finetune(tiny_encoder, ["ic9600", "ic9600"], [ic9600], output=None, progress=False)
    with pytest.raises(UserError, match="ic9600: has no image in val; its parts are test, train"):
        finetune(tiny_encoder, data, splits=("val",), output=None, progress=False)
