//! Everything a store's database holds, read behind the store's back.

use sea_orm::{ConnectionTrait, Database, DbBackend, QueryResult, Statement};

/// Every value of every table of a store as (`table.column`, bytes); what is compressed,
/// opened too.
pub async fn columns(url: &str) -> Vec<(String, Vec<u8>)> {
    let db = Database::connect(url).await.unwrap();
    let ask = async |sql: &str| {
        let statement = Statement::from_string(db.get_database_backend(), sql);
        db.query_all_raw(statement).await.unwrap()
    };
    let mut all = vec![];
    let tables = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables \
             WHERE schemaname = current_schema()"
        }
        _ => "SELECT name FROM sqlite_master WHERE type = 'table'",
    };
    for table in ask(tables).await {
        let table: String = table.try_get("", "name").unwrap();
        for row in ask(&format!("SELECT * FROM {table}")).await {
            for column in row.column_names() {
                let value = value(&row, &column);
                let opened = zstd::decode_all(value.as_slice()).unwrap_or_default();
                all.push((format!("{table}.{column}"), [value, opened].concat()));
            }
        }
    }
    db.close().await.unwrap();
    all
}

/// Text or bytes; numbers hide nothing.
fn value(row: &QueryResult, column: &str) -> Vec<u8> {
    let bytes = row.try_get::<Option<Vec<u8>>>("", column).ok().flatten();
    let text = || row.try_get::<Option<String>>("", column).ok().flatten();
    bytes
        .or_else(|| text().map(String::into_bytes))
        .unwrap_or_default()
}
