//! Comma-separated text.

use super::*;

fn no_header() -> ReadOptions {
    ReadOptions { header: Header::Absent, ..Default::default() }
}

#[test]
fn csv_finds_its_target_by_name_by_index_and_by_default() {
    let f = Folder::new();
    let text = b"a,b,label\n1,2,3\n4,5e-1,6\r\n";
    let data = f.read("d.csv", text).unwrap();
    assert_eq!(data.x(), ndarray::array![[1.0, 2.0], [4.0, 0.5]]);
    assert_eq!(data.target(), ndarray::array![3.0, 6.0]);
    assert_eq!(data.target_name(), "label");
    let data = f.target("d.csv", text, "a").unwrap();
    assert_eq!((data.target()[1], data.feature_names().join("+")), (4.0, "b+label".into()));
    assert_eq!(f.target("d.csv", text, "1").unwrap().target()[1], 0.5);
    let gz = f.read("d.csv.gz", &gzip(b"\xef\xbb\xbfa,y\n1,no\n2,yes\n3,no\n")).unwrap();
    assert_eq!(gz.target(), ndarray::array![0.0, 1.0, 0.0]);
    assert_eq!(gz.class_names().unwrap(), &["no".to_string(), "yes".to_string()]);
}

#[test]
fn csv_errors_name_line_and_column() {
    let f = Folder::new();
    use ErrorKind::Data;
    says(
        f.read("d.csv", b"a,b,y\n1,2,3\n1,,3\n"),
        Data,
        &["line 3, column 'b'", "an empty cell, a missing value", "`missing drop-rows`"],
    );
    says(f.read("d.csv", b"a,b,y\n1,x,3\n"), Data, &["line 2, column 'b'", "'x'"]);
    says(f.read("d.csv", b"a,b,y\n1,NaN,3\n"), Data, &["line 2, column 'b'", "'NaN', a missing value"]);
    says(f.read("d.csv", b"a,b,y\n1,2,inf\n"), Data, &["line 2, column 'y'", "inf", "a finite number"]);
    says(f.read("d.csv", b"a,b,y\n1,2\n"), Data, &["line 2", "2 cells", "3, as in the header"]);
    says(f.read("d.csv", b"a,b,y\n"), Data, &["a header and no rows"]);
    says(f.read("d.csv", b""), Data, &["line 1"]);
    says(f.read("d.csv", b"a,a,y\n1,2,3\n"), Data, &["column 'a' twice"]);
    says(f.read("d.csv", b"1,2,3\n4,5,6\n"), Data, &["numbers only", "a header"]);
    says(f.target("d.csv", b"age,y\n1,2\n", "agee"), Data, &["'agee'", "Did you mean 'age'?"]);
    says(f.target("d.csv", b"age,y\n1,2\n", "7"), Data, &["target column", "'7'"]);
    says(
        f.read("d.csv", b"a,y\n1,red\n2,green\n3,blue\n"),
        Data,
        &["3 different text labels", "exactly two labels"],
    );
    says(f.read("d.csv", b"a,y\n1,red\n2,red\n"), Data, &["one class only ('red')"]);
    says(f.read("d.txt", b"a,y\n1,2\n"), Data, &["'.txt'", ".csv"]);
    says(read(&f.0.path().join("none.csv"), &ReadOptions::default()), Data, &["none.csv", "Check the path"]);
    says(f.read("d.csv.gz", b"not gzip"), Data, &["d.csv.gz"]);
}

#[test]
fn a_file_without_header_loses_no_row() {
    let f = Folder::new();
    use ErrorKind::Data;
    let sonar = b"0.02,0.37,R\n0.45,0.52,M\n0.26,0.58,R\n";
    says(
        f.read("d.csv", sonar),
        Data,
        &["line 1", "'0.02', '0.37' among the names", "`no_header`", "`header`"],
    );
    let data = f.with("d.csv", sonar, no_header()).unwrap();
    assert_eq!((data.rows(), data.feature_names().join("+")), (3, "x0+x1".into()));
    assert_eq!(data.x().row(0), ndarray::array![0.02, 0.37]);
    assert_eq!(data.target(), ndarray::array![1.0, 0.0, 1.0]);
    // Equal numbers are no names that occur twice.
    says(f.read("d.csv", b"1,1,3\n4,5,6\n"), Data, &["numbers only", "a header", "`no_header`"]);
    assert_eq!(f.with("d.csv", b"1,1,3\n4,5,6\n", no_header()).unwrap().rows(), 2);
    // Names may be numbers, if that is said.
    let years = ReadOptions { header: Header::Present, ..Default::default() };
    assert_eq!(f.with("d.csv", b"2019,2020,y\n1,2,3\n", years).unwrap().feature_names(), ["2019", "2020"]);
    says(
        f.with("d.csv", b"1,2,3\n4,5\n", no_header()),
        Data,
        &["line 2", "2 cells", "3, as in the first row"],
    );
}

#[test]
fn missing_values_are_no_class_and_have_a_remedy() {
    let f = Folder::new();
    use ErrorKind::Data;
    let with = |text: &str, missing: Missing| {
        f.with("d.csv", text.as_bytes(), ReadOptions { missing, ..Default::default() })
    };
    for mark in ["NA", "N/A", "NaN", "?", "None", "NULL", "-", "", "null", "nan", " "] {
        let shown = if mark.trim().is_empty() { "an empty cell".into() } else { format!("'{mark}'") };
        let text = format!("a,y\n1,1\n2,{mark}\n3,1\n4,0\n");
        says(
            with(&text, Missing::Error),
            Data,
            &["line 3, column 'y'", &shown, "a missing value", "drop-rows"],
        );
        says(with(&text, Missing::Mean), Data, &["line 3, column 'y'", "drop-rows"]);
        let kept = with(&text, Missing::DropRows).unwrap();
        assert_eq!(
            (kept.target(), kept.given_rows()),
            (ndarray::array![1.0, 1.0, 0.0].view(), &[0, 2, 3][..])
        );
        let labels = format!("a,y\n1,yes\n2,{mark}\n3,yes\n");
        says(with(&labels, Missing::Error), Data, &["line 3, column 'y'", &shown, "a missing value"]);
        says(with(&labels, Missing::DropRows), Data, &["one class only ('yes')"]);
        let feature = format!("a,b,y\n1,2,3\n{mark},5,6\n2,5,6\n");
        says(with(&feature, Missing::Error), Data, &["line 3, column 'a'", &shown, "`missing mean`"]);
        assert_eq!(with(&feature, Missing::Mean).unwrap().x()[[1, 0]], 1.5);
        assert_eq!(with(&feature, Missing::DropRows).unwrap().x(), ndarray::array![[1.0, 2.0], [2.0, 5.0]]);
        // A column that is not used may have gaps.
        let drop = ReadOptions { drop: vec!["a".into()], ..Default::default() };
        assert_eq!(f.with("d.csv", feature.as_bytes(), drop).unwrap().rows(), 3);
    }
    says(with("a,b,y\n,1,2\n,2,3\n", Missing::Mean), Data, &["line 2, column 'a'", "drop"]);
    says(with("a,y\nNA,2\n3,NA\n", Missing::DropRows), Data, &["2 rows, none of which is kept"]);
    says(f.read("d.csv", b"a,y\n1,1\n2,unknown\n"), Data, &["numbers, and the text 'unknown' in line 3"]);
}

#[test]
fn columns_are_dropped_weighed_and_separated() {
    let f = Folder::new();
    let text = b"name;w;a;y;z\nann;2;1;5;0\nbob;0;?;oops;0\ncid;1;3;7;0\n";
    let options = || ReadOptions {
        separator: Some(b';'),
        drop: vec!["name".into(), "z".into()],
        weights: Some("w".into()),
        ..Default::default()
    };
    // The row of weight 0 is not looked at, and the others keep their places.
    let data = f.with("d.csv", text, options()).unwrap();
    assert_eq!((data.x(), data.target_name()), (ndarray::array![[1.0], [3.0]], "y"));
    assert_eq!((data.sample_weight(), data.given_rows()), (ndarray::array![2.0, 1.0].view(), &[0, 2][..]));
    let tabs = String::from_utf8_lossy(text).replace(';', "\t");
    let by_tab = f.with("d.tsv", tabs.as_bytes(), ReadOptions { separator: None, ..options() }).unwrap();
    assert_eq!(by_tab.x(), data.x());
    use ErrorKind::{Data, Usage};
    says(f.read("d.csv", text), Data, &["1 column(s)", "`separator ;`"]);
    let bad = |change: &dyn Fn(&mut ReadOptions)| {
        let mut options = options();
        change(&mut options);
        f.with("d.csv", text, options)
    };
    says(bad(&|o| o.drop = vec!["nam".into()]), Data, &["column to drop", "Did you mean 'name'?"]);
    says(bad(&|o| o.weights = Some("name".into())), Usage, &["for two uses"]);
    says(bad(&|o| o.target = Some("w".into())), Usage, &["column 'w' for two uses"]);
    says(
        bad(&|o| o.drop = vec!["name".into(), "y".into(), "a".into(), "z".into()]),
        Usage,
        &["every column"],
    );
    says(f.with("d.csv", b"a,w,y\n1,-2,3\n", weights()), Data, &["line 2, column 'w'", "'-2'", "a weight"]);
    says(f.with("d.csv", b"a,w,y\n1,NA,3\n", weights()), Data, &["line 2, column 'w'", "'NA'"]);
    says(f.with("d.csv", b"a,w,y\n1,0,3\n", weights()), Data, &["1 rows, none of which is kept"]);
}

fn weights() -> ReadOptions {
    ReadOptions { weights: Some("w".into()), ..Default::default() }
}

#[test]
fn text_columns_are_named_or_coded() {
    let f = Folder::new();
    let text = b"city,size,colour,y\nrome,1,red,1\noslo,2,red,2\nrome,3,blue,3\n";
    use ErrorKind::{Data, Memory};
    let parts =
        ["line 2", "text in 2 columns: 'city' ('rome'), 'colour' ('red')", "`one_hot`", "`drop city,colour`"];
    says(f.read("d.csv", text), Data, &parts);
    let one_hot = || ReadOptions { one_hot: true, ..Default::default() };
    let data = f.with("d.csv", text, one_hot()).unwrap();
    let names = ["city=oslo", "city=rome", "size", "colour=blue", "colour=red"];
    assert_eq!(data.feature_names(), names);
    let coded = ndarray::array![[0., 1., 1., 0., 1.], [1., 0., 2., 0., 1.], [0., 1., 3., 1., 0.]];
    assert_eq!(data.x(), coded);
    // The names of a model find the same columns, whatever else the file has.
    let new = f.file("new.csv", b"colour,city,size\nred,oslo,5\ngreen,rome,6\n");
    let found = read_features(&new, data.feature_names(), None, &ReadOptions::default()).unwrap().to_dense();
    assert_eq!(found, ndarray::array![[1., 0., 5., 0., 1.], [0., 1., 6., 0., 0.]]);
    says(f.with("d.csv", b"a,y\n1,1\nb,2\n", one_hot()), Data, &["line 3, column 'a'", "'b'", "either"]);
    says(f.with("d.csv", b"a,y\nb,1\nNA,2\n", one_hot()), Data, &["line 3, column 'a'", "missing"]);
    says(
        f.with("d.csv", b"a;y\n1,5;1\n2,5;2\n", ReadOptions { separator: Some(b';'), ..Default::default() }),
        Data,
        &["'1,5'", "decimals with a point"],
    );
    // Indicators count against the bound before they are made.
    let many: String = (0..2000).map(|i| format!("t{i},{i}\n")).collect();
    let bounded = ReadOptions { max_bytes: 1 << 20, ..one_hot() };
    says(f.with("d.csv", format!("a,y\n{many}").as_bytes(), bounded), Memory, &["rows x"]);
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    let f = Folder::new();
    for end in ["\n", "\r\n", "\r"] {
        let text = ["a,y", "1,2", "", "\"3\",4", "x,6", ""].join(end);
        says(f.read("d.csv", text.as_bytes()), ErrorKind::Data, &["line 5, column 'a'", "'x'"]);
        let text = ["a,y", "1,2", "3,4,5"].join(end);
        says(f.read("d.csv", text.as_bytes()), ErrorKind::Data, &["line 3", "3 cells"]);
    }
}

#[test]
fn a_column_without_name_is_called_by_its_place() {
    let f = Folder::new();
    let text = b",a,y\n0,5,1\n1,6,2\n";
    let data = f.read("d.csv", text).unwrap();
    assert_eq!(data.feature_names(), ["column 0", "a"]);
    let drop = ReadOptions { drop: vec!["0".into()], ..Default::default() };
    assert_eq!(f.with("d.csv", text, drop).unwrap().feature_names(), ["a"]);
    let path = f.file("d.csv", text);
    let again = read_features(&path, data.feature_names(), None, &ReadOptions::default()).unwrap().to_dense();
    assert_eq!(again, data.x());
}
