"""What tests read in documents and in their texts."""


def flat(sections):
    """All sections, those in others included."""
    return [each for section in sections for each in (section, *flat(section.sections))]


def titles(document):
    return [section.title for section in flat(document.sections) if section.title]


def section(document, title):
    """The first whose title begins so."""
    return next(each for each in flat(document.sections) if each.title.startswith(title))


def rows(section, number=0):
    """Of its table, by heading."""
    table = section.tables[number]
    return [dict(zip(table.headings, cells, strict=True)) for cells in table.rows]


def row(section, name, number=0):
    """That of its table which begins with a name."""
    return next(each for each in rows(section, number) if next(iter(each.values())) == name)


def sentences(document):
    """All that stand in it, leads included."""
    return [said for each in flat(document.sections) for said in (each.lead, *each.sentences) if said]
