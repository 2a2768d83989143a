//! Turns the words of [`crate::sql`] into each database's own. Pure.

use std::borrow::Cow;

pub(crate) fn translate(sql: &str, postgres: bool) -> String {
    let mut sql = Cow::Borrowed(sql);
    if sql.contains("now_ms()") {
        let now = if postgres {
            "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
        } else {
            "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
        };
        sql = sql.replace("now_ms()", now).into();
    }
    while let Some((head, rest)) = sql.split_once("json_rows(") {
        let Some((table, tail)) = rest.split_once(')') else {
            break;
        };
        sql = format!("{head}{}{tail}", json_rows(table, postgres)).into();
    }
    if sql.contains("json_pack(") {
        sql = pack(&sql, postgres).into();
    }
    while let Some(at) = sql.find("LOCK ") {
        let (head, rest) = sql.split_at(at);
        let rest = &rest[5..];
        sql = if postgres {
            format!("{head}FOR {rest}")
        } else {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_uppercase());
            let rest = match rest.strip_prefix(" OF ") {
                Some(of) => of.trim_start_matches(|c: char| c.is_ascii_lowercase()),
                None => rest,
            };
            format!("{head}{rest}")
        }
        .into();
    }
    sql.into_owned()
}

/// `$1; a int, b text` as a derived table.
fn json_rows(table: &str, postgres: bool) -> String {
    let (parameter, columns) = table.split_once(';').unwrap_or((table, ""));
    let columns: Vec<String> = columns
        .split(',')
        .enumerate()
        .map(|(i, column)| {
            let (name, kind) = column.trim().split_once(' ').unwrap_or((column, "text"));
            match (postgres, kind) {
                (true, "int") => format!("CAST(j.value->>{i} AS BIGINT) AS {name}"),
                (true, _) => format!("j.value->>{i} AS {name}"),
                (false, _) => format!("json_extract(j.value, '$[{i}]') AS {name}"),
            }
        })
        .collect();
    let columns = columns.join(", ");
    if postgres {
        format!(
            "(SELECT {columns} FROM json_array_elements(CAST({parameter} AS JSON)) AS j(value))"
        )
    } else {
        // Rows stay parsed for the columns' extraction.
        format!("(SELECT {columns} FROM jsonb_each({parameter}) AS j)")
    }
}

/// `json_pack(a, b)` as text; an empty list when there are no rows.
fn pack(sql: &str, postgres: bool) -> String {
    let mut out = String::with_capacity(sql.len() + 64);
    let mut rest = sql;
    while let Some((head, tail)) = rest.split_once("json_pack(") {
        let (columns, tail) = tail.split_once(')').unwrap_or((tail, ""));
        out.push_str(head);
        out.push_str(&if postgres {
            format!("CAST(COALESCE(json_agg(json_build_array({columns})), '[]') AS TEXT)")
        } else {
            format!("json_group_array(json_array({columns}))")
        });
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn rows_are_packed_into_one_text() {
        let sql = "SELECT json_pack(t.a, t.b) AS part FROM t";
        assert_eq!(
            translate(sql, false),
            "SELECT json_group_array(json_array(t.a, t.b)) AS part FROM t"
        );
        assert_eq!(
            translate(sql, true),
            "SELECT CAST(COALESCE(json_agg(json_build_array(t.a, t.b)), '[]') AS TEXT) AS part FROM t"
        );
    }

    #[test]
    fn the_words_become_each_database_s_own() {
        let sql = "SELECT r.a FROM json_rows($1; a int, b text) v JOIN r ON r.a = v.a \
                   WHERE r.t < now_ms() ORDER BY r.a LOCK UPDATE OF r";
        assert_eq!(
            translate(sql, false).trim(),
            "SELECT r.a FROM (SELECT json_extract(j.value, '$[0]') AS a, \
             json_extract(j.value, '$[1]') AS b FROM jsonb_each($1) AS j) v JOIN r ON r.a = v.a \
             WHERE r.t < CAST(unixepoch('subsec') * 1000 AS INTEGER) ORDER BY r.a"
        );
        assert_eq!(
            translate(sql, true),
            "SELECT r.a FROM (SELECT CAST(j.value->>0 AS BIGINT) AS a, j.value->>1 AS b \
             FROM json_array_elements(CAST($1 AS JSON)) AS j(value)) v JOIN r ON r.a = v.a \
             WHERE r.t < CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) \
             ORDER BY r.a FOR UPDATE OF r"
        );
    }
}
