//! `dynamodb` against moto's.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::database::folder;
use crate::harness::{Server, installed, left_out, port, run_badly, run_well, until, wait_for_port};

struct Moto {
    folder: tempfile::TempDir,
    port: u16,
    _server: Server,
}

impl Moto {
    fn start() -> Option<Self> {
        if !installed("moto_server") {
            left_out("DynamoDB", "moto_server is not installed");
            return None;
        }
        let (folder, port) = (folder(), port());
        let server =
            Server::start("moto_server", &["-H", "127.0.0.1", "-p", &port.to_string()], folder.path());
        let moto = Self { folder, port, _server: server };
        wait_for_port(moto.port);
        until("moto", || moto.call("ListTables", "{}").contains("TableNames"));
        Some(moto)
    }

    fn call(&self, operation: &str, body: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return String::new() };
        let request = format!(
            "POST / HTTP/1.1\r\nHost: dynamodb.eu-north-1.amazonaws.com\r\nConnection: close\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: DynamoDB_20120810.{operation}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=key/20260101/eu-north-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn with(&self, table: &str, more: &str) -> String {
        format!(
            "WITH ('connector' = 'dynamodb', 'table-name' = '{table}', 'aws.region' = 'eu-north-1', 'aws.endpoint' = 'http://127.0.0.1:{}', 'aws.credentials.basic.accesskeyid' = 'key', 'aws.credentials.basic.secretkey' = 'very-secret-9'{more})",
            self.port
        )
    }
}

#[test]
fn items_are_written_looked_up_and_deleted() {
    let Some(moto) = Moto::start() else { return };
    let create = |name: &str, sort: bool| {
        let (attributes, keys) = match sort {
            true => (
                r#"{"AttributeName":"id","AttributeType":"N"},{"AttributeName":"at_","AttributeType":"S"}"#,
                r#"{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"at_","KeyType":"RANGE"}"#,
            ),
            false => (
                r#"{"AttributeName":"id","AttributeType":"N"}"#,
                r#"{"AttributeName":"id","KeyType":"HASH"}"#,
            ),
        };
        let body = format!(
            r#"{{"TableName":"{name}","AttributeDefinitions":[{attributes}],"KeySchema":[{keys}],"BillingMode":"PAY_PER_REQUEST"}}"#
        );
        assert!(moto.call("CreateTable", &body).contains("200 OK"), "{name}");
    };
    create("places", false);
    create("stays", true);
    let folder = folder();
    let places = "id INT, name STRING, price DECIMAL(8, 2), tags ARRAY<STRING>, `where` ROW<lat DOUBLE, b BYTES>, nothing STRING, PRIMARY KEY (id) NOT ENFORCED";
    let tables = format!(
        "CREATE TABLE n (id INT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '300');
         CREATE TABLE places ({places}) {};
         CREATE TABLE stays (id INT, at_ STRING, n BIGINT, PRIMARY KEY (id, at_) NOT ENFORCED) {};",
        moto.with("places", ""),
        moto.with("stays", "")
    );
    let fill = format!(
        "{tables} INSERT INTO places SELECT id, 'n' || CAST(id AS STRING), CAST(1.25 AS DECIMAL(8, 2)), ARRAY['x', 'y'], ROW(59.5, x'00ff'), CAST(NULL AS STRING) FROM n WHERE MOD(id, 2) = 0;
         INSERT INTO stays SELECT MOD(id, 3), 'a', COUNT(*) FROM n GROUP BY MOD(id, 3) HAVING COUNT(*) <> 100;
         INSERT INTO stays SELECT 7, 'b', 1;"
    );
    run_well(folder.path(), &fill, &[]);
    let query = format!(
        "{tables} SELECT n.id, p.* FROM n LEFT JOIN places p ON n.id = p.id WHERE n.id < 3;
         SELECT COUNT(*) AS c, COUNT(p.name) AS found FROM n LEFT JOIN places p ON n.id = p.id;
         SELECT n.id AS sevens, s.n FROM n JOIN stays s ON n.id = s.id AND s.at_ = 'b';"
    );
    let found = run_well(folder.path(), &query, &["-o", "json", "-q"]);
    assert!(found.contains("\"name\":\"n2\",\"price\":1.25,\"tags\":[\"x\",\"y\"],\"where\":{\"lat\":59.5,\"b\":\"AP8=\"},\"nothing\":null"), "{found}");
    assert!(found.contains("\"c\":300,\"found\":150") && found.contains("\"sevens\":7,\"n\":1"), "{found}");
    // All groups came to 100 and were taken back.
    let left = moto.call("Scan", r#"{"TableName":"stays"}"#);
    assert!(left.contains(r#""Count": 1"#) || left.contains(r#""Count":1"#), "{left}");
    // As a whole: the columns that are asked for, in as many pages as there are.
    let padded = format!(
        "CREATE TABLE forty (id INT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '40');
         CREATE TABLE pages (id INT, at_ STRING, v STRING, PRIMARY KEY (id, at_) NOT ENFORCED) {};",
        moto.with("pages", "")
    );
    create("pages", true);
    run_well(
        folder.path(),
        &format!("{padded} INSERT INTO pages SELECT id, 'a', REPEAT('x', 60000) FROM forty;"),
        &[],
    );
    let query = format!(
        "{tables} {padded} SELECT id, tags, `where` FROM places WHERE id = 4;
         SELECT COUNT(*) AS every, SUM(price) AS total FROM places; SELECT COUNT(*) AS bare FROM places;
         SELECT COUNT(DISTINCT id) AS ids, SUM(CHAR_LENGTH(v)) AS letters FROM pages;"
    );
    let found = run_well(folder.path(), &query, &["-o", "json", "-q"]).replace("\"op\":\"+I\",", "");
    for part in [
        r#"{"id":4,"tags":["x","y"],"where":{"lat":59.5,"b":"AP8="}}"#,
        r#""every":150,"total":187.50"#,
        r#""bare":150"#,
        r#""ids":40,"letters":2400000"#,
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }
    // The whole key, and a table that is there.
    let error = run_badly(folder.path(), &format!("{tables} SELECT s.n FROM n JOIN stays s ON n.id = s.id;"));
    assert!(error.contains("'at_'"), "{error}");
    let error = run_badly(
        folder.path(),
        &format!(
            "{} SELECT p.name FROM n JOIN places p ON n.id = p.id;",
            tables.replace("'places'", "'nowhere'")
        ),
    );
    assert!(error.contains("ResourceNotFoundException") && !error.contains("very-secret-9"), "{error}");
}
