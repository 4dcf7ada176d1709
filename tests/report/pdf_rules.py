"""The rules of PDF/A-3a, and of tagged PDF, that a report could break; each as a look at a file.

veraPDF is the tool that knows them all. These are the ones that hang on what we write.
"""

import io
import re
from collections.abc import Callable, Iterator

import pypdf
from fontTools.ttLib import TTFont
from pypdf.generic import (
    ArrayObject,
    ContentStream,
    DictionaryObject,
    IndirectObject,
    PdfObject,
    StreamObject,
)

STANDARD_ROLES = frozenset(
    f"/{role}"
    for role in (
        *("Document", "Part", "Art", "Sect", "Div", "BlockQuote", "Caption", "NonStruct", "P"),
        *("H1", "H2", "H3", "H4", "H5", "H6", "L", "LI", "Lbl", "LBody", "Span", "Link", "Figure"),
        *("Table", "TR", "TH", "TD", "THead", "TBody", "TFoot"),
    )
)
PAINTING = frozenset(b"Tj TJ ' \" f F f* B B* b b* S s Do sh EI".split())

Rule = Callable[[pypdf.PdfReader], Iterator[str]]


def broken_rules(pdf: bytes) -> list[str]:
    """Return what is wrong with a file; nothing where all is well."""
    return [problem for rule in RULES for problem in rule(pypdf.PdfReader(io.BytesIO(pdf)))]


def elements(reader: pypdf.PdfReader) -> Iterator[DictionaryObject]:
    """Give the structure elements from the first to the last, in reading order."""
    open_ = [reader.trailer["/Root"]["/StructTreeRoot"]]
    while open_:
        element = open_.pop().get_object()
        if not isinstance(element, DictionaryObject) or "/Obj" in element:
            continue
        if "/S" in element:
            yield element
        kids = element.get("/K", ArrayObject()).get_object()
        open_ += reversed(kids if isinstance(kids, ArrayObject) else [kids])


def objects(reader: pypdf.PdfReader) -> Iterator[PdfObject]:
    """Give every object of a file once."""
    seen: set[int] = set()
    open_: list[PdfObject] = [reader.trailer["/Root"]]
    while open_:
        thing = open_.pop()
        if isinstance(thing, IndirectObject):
            if thing.idnum in seen:
                continue
            seen.add(thing.idnum)
            thing = thing.get_object()
        yield thing
        if isinstance(thing, DictionaryObject):
            open_ += [value for key, value in thing.items() if key not in ("/Parent", "/P")]
        elif isinstance(thing, ArrayObject):
            open_ += thing


def dictionaries(reader: pypdf.PdfReader, name: str, value: str) -> Iterator[DictionaryObject]:
    """Give the dictionaries of a file in which a key has a value."""
    for thing in objects(reader):
        if isinstance(thing, DictionaryObject) and thing.get(name) == value:
            yield thing


def true(value: object) -> bool:
    """Tell whether something is there and true; a false one of pypdf is true to Python."""
    return getattr(value, "value", value) is True


def catalog(reader: pypdf.PdfReader) -> Iterator[str]:
    """The file says that it is tagged, in which language, and starts nothing when it opens."""
    root = reader.trailer["/Root"]
    if not true(root.get("/MarkInfo", {}).get("/Marked")):
        yield "not marked as tagged"
    if not root.get("/Lang"):
        yield "no language"
    if not true(root.get("/ViewerPreferences", {}).get("/DisplayDocTitle")):
        yield "the title is not shown"
    for name in ("/OpenAction", "/AA", "/AcroForm"):
        if name in root:
            yield f"the catalog has {name}"
    if "/JavaScript" in root.get("/Names", {}):
        yield "it has scripts"
    if "/Encrypt" in reader.trailer or "/ID" not in reader.trailer:
        yield "it is encrypted, or has no identifier"


def metadata(reader: pypdf.PdfReader) -> Iterator[str]:
    """The XMP claims PDF/A-3a, and says the same as the older dictionary."""
    xmp = reader.trailer["/Root"]["/Metadata"].get_data().decode()
    for claim in ('part="3"', 'conformance="A"'):
        if not re.search(rf"pdfaid:{claim}", xmp):
            yield f"the metadata lack pdfaid:{claim}"
    title = reader.metadata.title if reader.metadata else ""
    if not title or reader.xmp_metadata.dc_title.get("x-default") != title:
        yield "the two titles differ"
    if reader.xmp_metadata.xmp_create_date.timestamp() != reader.metadata.creation_date.timestamp():
        yield "the two dates differ"


def colours(reader: pypdf.PdfReader) -> Iterator[str]:
    """Colours without a profile of their own are those of one that the file brings."""
    intents = reader.trailer["/Root"].get("/OutputIntents", [])
    if [intent.get_object()["/S"] for intent in intents] != ["/GTS_PDFA1"]:
        yield "no output intent"
        return
    if intents[0].get_object()["/DestOutputProfile"]["/N"] != 3:
        yield "the profile is not of three colours"
    for image in dictionaries(reader, "/Subtype", "/Image"):
        if true(image.get("/Interpolate")):
            yield "an image is interpolated"
        if image.get("/ColorSpace") == "/DeviceCMYK":
            yield "an image has colours of a press"


def fonts(reader: pypdf.PdfReader) -> Iterator[str]:
    """Each font is inside, can be read out, has all letters, and is as wide as it says."""
    found = [font for font in dictionaries(reader, "/Type", "/Font") if "/ToUnicode" in font]
    every = list(dictionaries(reader, "/Type", "/Font"))
    if not found or len(every) != 2 * len(found):
        yield "a font can't be read out"
    for font in found:
        name = font["/BaseFont"]
        if font["/Encoding"] != "/Identity-H":
            yield f"{name} lacks letters"
        inner = font["/DescendantFonts"][0].get_object()
        program = inner["/FontDescriptor"].get("/FontFile2")
        if program is None:
            yield f"{name} is not inside"
            continue
        known = TTFont(io.BytesIO(program.get_object().get_data()))
        unit, order = known["head"].unitsPerEm, known.getGlyphOrder()
        for glyph, width in _widths(inner["/W"]):
            real = known["hmtx"][order[glyph]][0] * 1000 / unit
            if abs(real - width) > 1:
                yield f"{name}: glyph {glyph} is {real:g} wide, not {width:g}"


def _widths(given: ArrayObject) -> Iterator[tuple[int, float]]:
    for first, several in zip(given[::2], given[1::2], strict=True):
        for place, width in enumerate(several.get_object()):
            yield int(first) + place, float(width)


def structure(reader: pypdf.PdfReader) -> Iterator[str]:
    """Elements have standard roles, figures a text, tables headings; headings skip no level."""
    level = 0
    for element in elements(reader):
        role = element["/S"]
        if role not in STANDARD_ROLES:
            yield f"an element is {role}"
        if role == "/Figure" and not element.get("/Alt"):
            yield "a figure has no text in its place"
        if heading := re.fullmatch(r"/H(\d)", role):
            if int(heading[1]) > level + 1:
                yield f"a heading of level {heading[1]} follows one of level {level}"
            level = int(heading[1])
        if role == "/Table" and "/TH" not in {inner["/S"] for inner in below(element)}:
            yield "a table has no headings"


def below(element: DictionaryObject) -> Iterator[DictionaryObject]:
    """Give the elements inside one."""
    kids = element.get("/K", ArrayObject())
    for kid in kids if isinstance(kids, ArrayObject) else [kids]:
        inner = kid.get_object()
        if isinstance(inner, DictionaryObject) and "/S" in inner:
            yield inner
            yield from below(inner)


def annotations(reader: pypdf.PdfReader) -> Iterator[str]:
    """Links lead within the file, are printed, say what they are, and stand in the structure."""
    for number, page in enumerate(reader.pages, 1):
        if page.get("/Tabs") != "/S":
            yield f"page {number}: tabs do not follow the structure"
        for link in page.get("/Annots", ()):
            found = link.get_object()
            if found["/Subtype"] != "/Link" or "/A" in found or "/AA" in found:
                yield f"page {number}: an annotation acts"
            if found.get("/F") != 4 or not found.get("/Contents") or "/StructParent" not in found:
                yield f"page {number}: an annotation is not printed, described or in the structure"


def marks(reader: pypdf.PdfReader) -> Iterator[str]:
    """Whatever is painted is tagged, or an artifact; what is tagged is in the structure."""
    places = reader.trailer["/Root"]["/StructTreeRoot"]["/ParentTree"].get_object()["/Nums"]
    parents = dict(zip(places[::2], places[1::2], strict=True))
    for number, page in enumerate(reader.pages, 1):
        depth, known = 0, len(parents[page["/StructParents"]].get_object())
        for operands, operator in ContentStream(page["/Contents"], reader).operations:
            if operator in (b"BDC", b"BMC"):
                depth += 1
                tagged = operands[1] if len(operands) > 1 else {}
                if tagged.get("/MCID", 0) >= known:
                    yield f"page {number}: marked content without an element"
            elif operator == b"EMC":
                depth -= 1
            elif operator in PAINTING and depth == 0:
                yield f"page {number}: {operator.decode()} outside of all marks"


def files(reader: pypdf.PdfReader) -> Iterator[str]:
    """An attached file says what it is, how it belongs, and when it was written."""
    related = reader.trailer["/Root"].get("/AF", [])
    attached = list(dictionaries(reader, "/Type", "/Filespec"))
    if not attached or len(related) != len(attached):
        yield "an attached file is not associated with the document"
    for file in attached:
        missing = {"/F", "/UF", "/EF", "/Desc", "/AFRelationship"} - set(file)
        inner = file["/EF"]["/F"].get_object()
        missing |= {"/Subtype", "/Params"} - set(inner)
        if missing or "/ModDate" not in inner["/Params"]:
            yield f"an attached file lacks {sorted(missing)} or its date"


def streams(reader: pypdf.PdfReader) -> Iterator[str]:
    """No data lie elsewhere, and none are packed in a way that the norm forbids."""
    for thing in objects(reader):
        if isinstance(thing, StreamObject):
            if "/F" in thing or "/LZWDecode" in str(thing.get("/Filter")):
                yield "a stream lies elsewhere, or is packed by LZW"
            if thing.get("/Subtype") == "/PS" or "/Ref" in thing or "/OPI" in thing:
                yield "a form is a program or a reference"
        elif isinstance(thing, DictionaryObject) and thing.get("/S") in (
            "/URI",
            "/JavaScript",
            "/Launch",
            "/GoToR",
            "/SubmitForm",
        ):
            yield f"it has an action of kind {thing['/S']}"


RULES: tuple[Rule, ...] = (
    catalog,
    metadata,
    colours,
    fonts,
    structure,
    annotations,
    marks,
    files,
    streams,
)
