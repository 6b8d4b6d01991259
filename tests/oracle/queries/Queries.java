import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;

import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.minicluster.*;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.*;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.table.data.conversion.DataStructureConverter;
import org.apache.flink.table.data.conversion.DataStructureConverters;
import org.apache.flink.table.data.utils.CastExecutor;
import org.apache.flink.table.planner.codegen.CodeGeneratorContext;
import org.apache.flink.table.planner.functions.casting.*;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.*;
import org.apache.flink.types.*;
import org.apache.flink.util.CloseableIterator;

/**
 * Asks real Flink what random queries give at their end: their types, and their rows as CAST(... AS STRING) shows the values.
 *
 *   java -cp ... Queries FOLDER
 *
 * The class path is that of `Grid.java`. FOLDER has what `generate.py` writes; it gets `answers.jsonl`: the queries that Flink accepts, one a
 * line with `sql`, `types` and `rows` (sorted), or `error` where the job fails. What Flink refuses is told on stderr.
 */
public final class Queries {
    static StreamTableEnvironment env;

    static String quote(String s) {
        if (s == null) return "null";
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') b.append('\\').append(c);
            else if (c < ' ') b.append(String.format("\\u%04x", (int) c));
            else b.append(c);
        }
        return b.append('"').toString();
    }

    static String list(List<String> parts) {
        return "[" + String.join(",", parts) + "]";
    }

    static String whatFails(Throwable e) {
        Throwable last = e;
        while (last.getCause() != null && last.getCause() != last) last = last.getCause();
        return String.valueOf(last.getMessage()).split("\n")[0];
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    static String shown(Object internal, LogicalType type) {
        if (internal == null) return null;
        if (type.is(LogicalTypeFamily.CHARACTER_STRING)) return internal.toString();
        CastRule.Context context = CastRule.Context.create(false, false, java.time.ZoneId.of("UTC"), Queries.class.getClassLoader(), new CodeGeneratorContext(env.getConfig(), Queries.class.getClassLoader()));
        CastExecutor<Object, Object> cast = (CastExecutor<Object, Object>) CastRuleProvider.create(context, type.copy(true), VarCharType.STRING_TYPE);
        return cast == null ? internal.toString() : String.valueOf(cast.cast(internal));
    }

    public static void main(String[] a) throws Exception {
        Path folder = Path.of(a[0]).toAbsolutePath();
        Configuration conf = new Configuration();
        conf.setString("table.local-time-zone", "UTC");
        conf.setString("pipeline.auto-watermark-interval", "0 ms");
        conf.setString("rest.bind-port", "0");
        conf.setString("rest.bind-address", "127.0.0.1");
        conf.setString("taskmanager.memory.network.min", "16m");
        conf.setString("taskmanager.memory.network.max", "16m");
        conf.setString("rest.address", "127.0.0.1");
        conf.setString("taskmanager.numberOfTaskSlots", "4");
        // One cluster for all: a job by itself starts its own, which costs more than most queries.
        MiniCluster cluster = new MiniCluster(new MiniClusterConfiguration.Builder().setConfiguration(conf).setNumTaskManagers(1).setNumSlotsPerTaskManager(4).build());
        cluster.start();
        java.net.URI rest = cluster.getRestAddress().get();
        StreamExecutionEnvironment stream = StreamExecutionEnvironment.createRemoteEnvironment(rest.getHost(), rest.getPort(), conf);
        stream.setParallelism(1);
        env = StreamTableEnvironment.create(stream);
        for (String l : Files.readAllLines(folder.resolve("tables.sql"))) env.executeSql(l.replace("FOLDER", folder.toString()));
        List<String> out = new ArrayList<>();
        int done = 0, refused = 0;
        for (String sql : Files.readAllLines(folder.resolve("queries.sql"))) {
            if (++done % 50 == 0) System.err.println("-- " + done + ", refused " + refused);
            Table table;
            try {
                table = env.sqlQuery(sql);
            } catch (Throwable e) {
                refused++;
                System.err.println("refused: " + sql + "\n    " + whatFails(e));
                continue;
            }
            List<DataType> types = table.getResolvedSchema().getColumnDataTypes();
            List<String> shownTypes = new ArrayList<>();
            for (DataType t : types) shownTypes.add(quote(t.getLogicalType().asSummaryString()));
            Map<String, Integer> bag = new TreeMap<>();
            String error = null;
            int updates = 0;
            CloseableIterator<Row> it;
            try {
                it = env.toChangelogStream(table).executeAndCollect();
            } catch (Throwable e) {
                refused++;
                System.err.println("refused: " + sql + "\n    " + whatFails(e));
                continue;
            }
            try {
                List<DataStructureConverter<Object, Object>> converters = new ArrayList<>();
                for (DataType t : types) {
                    DataStructureConverter<Object, Object> c = DataStructureConverters.getConverter(t);
                    c.open(Queries.class.getClassLoader());
                    converters.add(c);
                }
                while (it.hasNext()) {
                    Row row = it.next();
                    List<String> cells = new ArrayList<>();
                    for (int i = 0; i < types.size(); i++) cells.add(quote(shown(converters.get(i).toInternalOrNull(row.getField(i)), types.get(i).getLogicalType())));
                    boolean add = row.getKind() == RowKind.INSERT || row.getKind() == RowKind.UPDATE_AFTER;
                    bag.merge(list(cells), add ? 1 : -1, Integer::sum);
                    updates += row.getKind() == RowKind.UPDATE_AFTER ? 1 : row.getKind() == RowKind.UPDATE_BEFORE ? -1 : 0;
                }
            } catch (Throwable e) {
                error = whatFails(e);
            } finally {
                try { it.close(); } catch (Throwable ignored) { }
            }
            if (updates > 0) {
                System.err.println("updates without what was before: " + sql);
                continue;
            }
            List<String> rows = new ArrayList<>();
            bag.forEach((row, n) -> { for (int i = 0; i < n; i++) rows.add(row); if (n < 0) System.err.println("a row is taken back that was not there: " + sql); });
            out.add("{\"sql\":" + quote(sql) + ",\"types\":" + list(shownTypes) + (error == null ? ",\"rows\":" + list(rows) : ",\"error\":" + quote(error)) + "}");
        }
        System.err.println("-- " + done + ", refused " + refused);
        Files.write(folder.resolve("answers.jsonl"), (String.join("\n", out) + "\n").getBytes(java.nio.charset.StandardCharsets.UTF_8));
        System.exit(0);
    }
}
