import java.nio.file.*;
import java.util.*;

import org.apache.calcite.plan.hep.*;
import org.apache.calcite.rel.RelNode;
import org.apache.calcite.rel.logical.LogicalProject;
import org.apache.calcite.rex.RexNode;
import org.apache.flink.api.common.functions.*;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.*;
import org.apache.flink.table.api.internal.TableEnvironmentImpl;
import org.apache.flink.table.data.*;
import org.apache.flink.table.planner.calcite.*;
import org.apache.flink.table.planner.codegen.*;
import org.apache.flink.table.planner.delegation.PlannerBase;
import org.apache.flink.table.planner.functions.casting.*;
import org.apache.flink.table.runtime.generated.GeneratedFunction;
import org.apache.flink.table.data.utils.CastExecutor;
import org.apache.flink.table.types.logical.*;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

import scala.collection.JavaConverters;

/**
 * Asks real Flink what the expressions of a grid are: their types, and their values for each row of the table `g`.
 *
 *   java -cp ... Grid FOLDER
 *
 * A file `zone` in FOLDER names the session's zone, which is UTC without it.
 * The class path is Flink's `lib/*.jar` with the planner (the jar inside `flink-table-planner-loader-*.jar`) in the place of its loader.
 * An expression is planned as Flink plans it, and its generated code is run on each row, without a job. FOLDER gets `answers-KIND.tsv`:
 * the expressions that Flink accepts, their types, and the value of each row as CAST(... AS STRING) shows it (`!` where it fails,
 * `\N` for NULL, nothing where all further rows are as the last one shown).
 */
public final class Grid {
    static TableEnvironmentImpl env;
    static PlannerBase planner;
    static RowType input;
    static String ZONE = "UTC";

    record Function(MapFunction<RowData, RowData> map, LogicalType type) {}

    /** Functions ask it for a class loader and nothing else. */
    static final RuntimeContext CONTEXT = (RuntimeContext) java.lang.reflect.Proxy.newProxyInstance(Grid.class.getClassLoader(), new Class<?>[] {RuntimeContext.class},
            (proxy, method, args) -> method.getReturnType() == ClassLoader.class ? Grid.class.getClassLoader() : null);

    static RexNode plan(String expression, boolean table, FlinkPlannerImpl flink) {
        RelNode rel = flink.rel(flink.validate(flink.parser().parse("SELECT " + expression + (table ? " FROM g" : "")))).rel;
        if (!(rel instanceof LogicalProject p) || p.getProjects().size() != 1) throw new IllegalStateException("no projection");
        return p.getProjects().get(0);
    }

    static Function compile(RexNode node, LogicalType type, boolean table) throws Exception {
        CodeGeneratorContext c = new CodeGeneratorContext(planner.getFlinkContext().getTableConfig(), Grid.class.getClassLoader());
        ExprCodeGenerator g = new ExprCodeGenerator(c, false);
        LogicalType in = table ? input : RowType.of();
        g = g.bindInput(in, g.bindInput$default$2(), g.bindInput$default$3());
        GeneratedExpression e = g.generateExpression(node);
        RowType out = RowType.of(type);
        GeneratedExpression r = g.generateResultExpression(JavaConverters.asScalaBuffer(List.of(e)).toSeq(), out, GenericRowData.class,
                g.generateResultExpression$default$4(), g.generateResultExpression$default$5(), g.generateResultExpression$default$6(), g.generateResultExpression$default$7());
        @SuppressWarnings({"unchecked", "rawtypes"})
        GeneratedFunction<MapFunction<RowData, RowData>> f = (GeneratedFunction) FunctionCodeGenerator.generateFunction(c, "GridFunction", MapFunction.class,
                r.code() + "\nreturn " + r.resultTerm() + ";", out, in, FunctionCodeGenerator.generateFunction$default$7(), FunctionCodeGenerator.generateFunction$default$8(),
                FunctionCodeGenerator.generateFunction$default$9(), FunctionCodeGenerator.generateFunction$default$10(), FunctionCodeGenerator.generateFunction$default$11());
        MapFunction<RowData, RowData> map = f.newInstance(Grid.class.getClassLoader());
        if (map instanceof RichFunction rich) {
            rich.setRuntimeContext(CONTEXT);
            rich.open(new DefaultOpenContext());
        }
        return new Function(map, type);
    }

    static String shown(Object value, LogicalType type) {
        if (value == null) return "\\N";
        if (type.is(LogicalTypeRoot.RAW) || type.is(LogicalTypeRoot.SYMBOL)) return value.toString();
        CastRule.Context context = CastRule.Context.create(false, false, java.time.ZoneId.of(ZONE), Grid.class.getClassLoader(), new CodeGeneratorContext(planner.getFlinkContext().getTableConfig(), Grid.class.getClassLoader()));
        CastExecutor<Object, Object> cast;
        if (type.is(LogicalTypeFamily.CHARACTER_STRING)) return escaped(value.toString());
        cast = (CastExecutor<Object, Object>) CastRuleProvider.create(context, type.copy(true), VarCharType.STRING_TYPE);
        if (cast == null) return value.toString();
        Object text = cast.cast(value);
        return text == null ? "\\N" : escaped(text.toString());
    }

    static String escaped(String s) {
        StringBuilder b = new StringBuilder();
        for (char ch : s.toCharArray()) {
            if (ch == '\\') b.append("\\\\");
            else if (ch == '\t') b.append("\\t");
            else if (ch == '\n') b.append("\\n");
            else if (ch == '\r') b.append("\\r");
            else if (ch == 0) b.append("\\0");
            else b.append(ch);
        }
        return b.toString();
    }

    static String whatFails(Throwable e) {
        Throwable last = e;
        while (last.getCause() != null && last.getCause() != last) last = last.getCause();
        return String.valueOf(last.getMessage()).split("\n")[0];
    }

    public static void main(String[] a) throws Exception {
        Path folder = Path.of(a[0]);
        Configuration conf = new Configuration();
        Path zone = folder.resolve("zone");
        if (Files.exists(zone)) ZONE = Files.readString(zone).trim();
        conf.setString("table.local-time-zone", ZONE);
        conf.setString("parallelism.default", "1");
        env = (TableEnvironmentImpl) TableEnvironment.create(EnvironmentSettings.newInstance().inBatchMode().withConfiguration(conf).build());
        planner = (PlannerBase) env.getPlanner();

        // The table, and its rows as Flink reads their literals.
        List<String[]> columns = new ArrayList<>();
        for (String l : Files.readAllLines(folder.resolve("columns.tsv"))) columns.add(l.split("\t", -1));
        StringBuilder ddl = new StringBuilder("CREATE TEMPORARY TABLE g (");
        for (int i = 0; i < columns.size(); i++) ddl.append(i > 0 ? ", " : "").append('`').append(columns.get(i)[0]).append("` ").append(columns.get(i)[1]);
        env.executeSql(ddl + ") WITH ('connector' = 'datagen', 'number-of-rows' = '4')");
        List<RowData> rows = new ArrayList<>();
        List<LogicalType> types = new ArrayList<>();
        for (int row = 0; row < 4; row++) {
            GenericRowData data = new GenericRowData(columns.size());
            for (int i = 0; i < columns.size(); i++) {
                String sql = "CAST(" + columns.get(i)[2 + row] + " AS " + columns.get(i)[1].replaceAll(" NOT NULL$", "") + ")";
                // Flink cannot read these two as literals.
                String special = columns.get(i)[2 + row];
                if (special.equals("'NaN'")) { data.setField(i, Float.NaN); continue; }
                if (special.equals("'Infinity'")) { data.setField(i, Double.POSITIVE_INFINITY); continue; }
                RexNode node = plan(sql, false, planner.createFlinkPlanner());
                LogicalType t = FlinkTypeFactory.toLogicalType(node.getType());
                data.setField(i, ((GenericRowData) compile(node, t, false).map.map(new GenericRowData(0))).getField(0));
                if (row == 0) types.add(t.copy(!columns.get(i)[1].endsWith(" NOT NULL")));
            }
            rows.add(data);
        }
        input = RowType.of(types.toArray(new LogicalType[0]), columns.stream().map(c -> c[0]).toArray(String[]::new));
        for (String l : Files.readAllLines(folder.resolve("sinks.tsv"))) {
            String[] p = l.split("\t");
            env.executeSql("CREATE TEMPORARY TABLE " + p[0] + " (x " + p[1] + ") WITH ('connector' = 'blackhole')");
        }
        env.executeSql(ddl.toString().replace("TABLE g (", "TABLE v (id INT, ") + ") WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '" + folder.toAbsolutePath() + "/rows.jsonl')");

        Map<String, List<String>> answers = new LinkedHashMap<>();
        List<String[]> aggregates = new ArrayList<>();
        int done = 0;
        for (String l : Files.readAllLines(folder.resolve("expressions.tsv"))) {
            if (++done % 1000 == 0) System.err.println(done);
            String[] p = l.split("\t", 2);
            List<String> out = answers.computeIfAbsent(p[0], k -> new ArrayList<>());
            String head = escaped(p[1]) + "\t";
            try {
                switch (p[0]) {
                    case "union" -> out.add(head + env.sqlQuery(p[1]).getResolvedSchema().getColumnDataTypes().get(0));
                    case "insert" -> { env.explainSql(p[1]); out.add(head + "accepted"); }
                    case "aggregate" -> aggregates.add(new String[] {p[1], env.sqlQuery(p[1]).getResolvedSchema().getColumnDataTypes().get(0).toString()});
                    default -> {
                        RexNode node = plan(p[1], true, planner.createFlinkPlanner());
                        LogicalType type = FlinkTypeFactory.toLogicalType(node.getType());
                        Function f;
                        try { f = compile(node, type, true); } catch (Throwable e) { System.err.println(p[1] + ": " + whatFails(e)); continue; }
                        List<String> values = new ArrayList<>();
                        for (RowData row : rows) {
                            String v;
                            try { v = shown(((GenericRowData) f.map.map(row)).getField(0), type); } catch (Throwable e) { v = "!"; }
                            values.add(v);
                        }
                        while (values.size() > 1 && values.get(values.size() - 1).equals(values.get(values.size() - 2))) values.remove(values.size() - 1);
                        out.add(head + type + "\t" + String.join("\t", values));
                    }
                }
            } catch (Throwable e) {
                System.err.println(p[1] + ": " + whatFails(e));
            }
        }
        // Aggregates run as jobs, many at once; those that fail are asked again alone.
        Deque<List<String[]>> todo = new ArrayDeque<>();
        for (int i = 0; i < aggregates.size(); i += 40) todo.add(aggregates.subList(i, Math.min(i + 40, aggregates.size())));
        List<String> out = answers.computeIfAbsent("aggregate", k -> new ArrayList<>());
        while (!todo.isEmpty()) {
            List<String[]> part = todo.poll();
            StringBuilder sql = new StringBuilder("SELECT ");
            for (int i = 0; i < part.size(); i++) {
                String call = part.get(i)[0].substring("SELECT ".length(), part.get(i)[0].length() - " AS x FROM g".length());
                sql.append(i > 0 ? ", " : "").append(call).append(" AS x").append(i);
            }
            try (CloseableIterator<Row> it = env.executeSql(sql + " FROM v").collect()) {
                Row row = it.next();
                for (int i = 0; i < part.size(); i++) {
                    Object v = row.getField(i);
                    String text = v == null ? "\\N" : v instanceof java.math.BigDecimal d ? d.toPlainString() : v instanceof byte[] y ? new String(y) : v instanceof Object[] o ? Arrays.toString(o) : v.toString();
                    out.add(escaped(part.get(i)[0]) + "\t" + part.get(i)[1] + "\t" + escaped(text));
                }
            } catch (Throwable e) {
                if (part.size() == 1) { System.err.println(part.get(0)[0] + ": " + whatFails(e)); out.add(escaped(part.get(0)[0]) + "\t" + part.get(0)[1] + "\t!"); }
                else { todo.add(part.subList(0, part.size() / 2)); todo.add(part.subList(part.size() / 2, part.size())); }
            }
        }
        for (Map.Entry<String, List<String>> e : answers.entrySet()) {
            // A half of a character that a function left alone becomes '?'.
            String text = String.join("\n", e.getValue()) + "\n";
            Files.write(folder.resolve("answers-" + e.getKey() + ".tsv"), text.getBytes(java.nio.charset.StandardCharsets.UTF_8));
        }
        System.exit(0);
    }
}
