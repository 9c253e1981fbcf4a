use super::chart::{Scale, short};
use super::*;

const FILE: &str = "\
measure,unit,server,entries,value
import,entries/s,slapd,10000,31000
import,entries/s,ours,10000,20500
import,entries/s,slapd,100000,30500
import,entries/s,ours,100000,21000
start,ms,slapd,10000,52.31
start,ms,ours,10000,4.200
";

#[test]
fn a_file_is_read_and_written_as_it_was() {
    let figures = parse(FILE).unwrap();
    assert_eq!(figures.len(), 6);
    assert_eq!(
        figures[5],
        Figure {
            measure: "start".into(),
            unit: "ms".into(),
            server: "ours".into(),
            entries: 10_000,
            value: 4.2
        }
    );
    assert_eq!(csv(&figures).unwrap(), FILE);
}

#[test]
fn a_line_that_is_wrong_is_named() {
    let table = [
        (
            "measure,unit,server",
            "line 1 is `measure,unit,server` where `measure,unit,server,entries,value` should be",
        ),
        ("measure,unit,server,entries,value\na,b,c,1", "line 2: `a,b,c,1`: 4 fields where five should be"),
        ("measure,unit,server,entries,value\na,b,c,1,0", "line 2: `a,b,c,1,0`: not above zero"),
        ("measure,unit,server,entries,value\na,b,c,1,NaN", "line 2: `a,b,c,1,NaN`: not above zero"),
        ("measure,unit,server,entries,value\na,,c,1,2", "line 2: `a,,c,1,2`: a name is empty"),
        (
            "measure,unit,server,entries,value\na,b,c,one,2",
            "line 2: `a,b,c,one,2`: the number of entries: invalid digit found in string",
        ),
    ];
    for (text, message) in table {
        assert_eq!(format!("{:#}", parse(text).unwrap_err()), message);
    }
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let mut figures = parse(FILE).unwrap();
    figures[0].measure = "import, quick".into();
    assert!(csv(&figures).is_err());
    figures[0].measure = "import".into();
    figures[0].value = 0.0;
    assert!(csv(&figures).is_err());
}

#[test]
fn the_table_has_a_row_for_each_measure_and_server() {
    let expected = "\
| measure | server | 10,000 | 100,000 |
|---|---|--:|--:|
| import, entries/s | slapd | 31,000 | 30,500 |
| import, entries/s | ours | 20,500 | 21,000 |
| start, ms | slapd | 52.3 |  |
| start, ms | ours | 4.20 |  |
";
    assert_eq!(table(&parse(FILE).unwrap()), expected);
}

#[test]
fn scales_begin_and_end_at_round_numbers_a_decade_apart() {
    let scale = |values: &[f64]| {
        let Scale { from, to } = Scale::around(values.iter().copied());
        (short(from), short(to))
    };
    let table: &[(&[f64], (&str, &str))] = &[
        (&[10_000.0, 1_000_000.0], ("10k", "1M")),
        (&[10_096.0, 1_000_096.0], ("10k", "1M")),
        (&[21_000.0, 31_000.0], ("10k", "100k")),
        (&[7_800.0, 8_100.0], ("2k", "20k")),
        (&[0.03, 4.0], ("0.02", "5")),
        (&[], ("1", "10")),
    ];
    for (values, (from, to)) in table {
        assert_eq!(scale(values), ((*from).to_owned(), (*to).to_owned()), "{values:?}");
    }
}

#[test]
fn places_are_logarithmic() {
    let scale = Scale { from: 10.0, to: 100_000.0 };
    for (value, place) in [(10.0, 0.0), (100.0, 0.25), (1_000.0, 0.5), (100_000.0, 1.0)] {
        assert!((scale.place(value) - place).abs() < 1e-9, "{value}");
    }
}

#[test]
fn ticks_are_round_numbers_while_there_is_room() {
    let labels = |from, to| Scale { from, to }.ticks().into_iter().map(short).collect::<Vec<_>>();
    assert_eq!(labels(500.0, 10_000.0), ["500", "1k", "2k", "5k", "10k"]);
    assert_eq!(labels(0.05, 50_000.0), ["0.1", "1", "10", "100", "1k", "10k"]);
    let decades: Vec<_> = Scale { from: 5_000.0, to: 2e6 }.decades().into_iter().map(short).collect();
    assert_eq!(decades, ["10k", "100k", "1M"]);
}

#[test]
fn points_stand_where_the_axes_say() {
    let figures =
        parse("measure,unit,server,entries,value\nbulk,entries/s,one,10,100\nbulk,entries/s,one,100,1000\n");
    let drawn = svg(&figures.unwrap());
    // Both axes have just these ends, so the points are in the corners.
    assert!(drawn.contains("points=\"56.0,184.0 282.0,44.0\""), "{drawn}");
    assert!(drawn.contains("<title>one, 100 entries: 1,000 entries/s</title>"), "{drawn}");
}

#[test]
fn servers_differ_by_more_than_colour_and_all_is_said_in_words() {
    let drawn = svg(&parse(FILE).unwrap());
    let count = |what: &str| drawn.matches(what).count();
    // Each has a line in the legend and one in each of two panels.
    assert_eq!((count("class=\"line a dash\""), count("class=\"line b\"")), (3, 3));
    assert_eq!((count("<rect class=\"fill-a\""), count("<circle")), (4, 4));
    assert!(drawn.contains("<title id=\"title\">slapd and ours with a growing number of entries</title>"));
    assert!(drawn.contains("start, ms: slapd, 10,000 entries: 52.3 ms; ours, 10,000 entries: 4.20 ms."));
}

#[test]
fn names_cannot_break_the_picture() {
    let figures = parse("measure,unit,server,entries,value\n<a&\"b>,x,y,1,1\n").unwrap();
    let drawn = svg(&figures);
    assert!(drawn.contains("&lt;a&amp;&quot;b&gt;") && !drawn.contains("<a&"), "{drawn}");
}

#[test]
fn the_chart_of_the_docs_is_that_of_its_figures() {
    let figures = parse(include_str!("../../../../docs/figures/growth.csv")).unwrap();
    let drawn = include_str!("../../../../docs/figures/growth.svg");
    assert!(svg(&figures) == drawn, "draw it again: cargo run -p flext-ldap-lab --bin growth");
    let text = include_str!("../../../../docs/performance.md");
    assert!(
        text.contains(&table(&figures)),
        "docs/performance.md has another table than\n{}",
        table(&figures)
    );
}
