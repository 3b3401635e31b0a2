from limner.core.signature import Port, Signature

STYLED = Signature(
    (Port("photo", (3, 32, 32), "float32"), Port("style", (), "int64")), Port("image", (3, 32, 32), "float32"), styles=3
)


def test_uint8_changes_images_only() -> None:
    changed = STYLED.as_uint8()
    assert changed.inputs == (Port("photo", (32, 32, 3), "uint8"), Port("style", (), "int64"))
    assert changed.output == Port("image", (32, 32, 3), "uint8")
