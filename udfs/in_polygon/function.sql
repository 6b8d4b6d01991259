-- Whether a place lies in a polygon. Built by:
--   clang --target=wasm32 -O2 -nostdlib -mbulk-memory -Wl,--no-entry -I ../wasm -o in_polygon.wasm in_polygon.c
CREATE FUNCTION in_polygon(x DOUBLE, y DOUBLE, polygon STRING) RETURNS BOOLEAN
LANGUAGE WASM
COMMENT 'Whether a place lies in a polygon, which is a WKT text: POLYGON ((x y, x y, ...))'
USING FILE 'in_polygon.wasm';
