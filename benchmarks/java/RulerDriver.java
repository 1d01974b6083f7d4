import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import software.amazon.event.ruler.Machine;

/**
 * Routes the events of a file with event-ruler, on one thread, and prints a line of JSON per round.
 *
 * <p>Arguments: rules, changes (lines "name TAB rule before TAB rule after"), events (a line of JSON
 * each), how many rounds. Rules are added first; each round routes all events and makes an equal
 * share of the changes, evenly spread. Rates are events per second of this thread's CPU time.
 */
public final class RulerDriver {
    public static void main(String[] arguments) throws Exception {
        List<String> rules = Files.readAllLines(Path.of(arguments[0]), StandardCharsets.UTF_8);
        List<String> changes = Files.readAllLines(Path.of(arguments[1]), StandardCharsets.UTF_8);
        List<byte[]> events = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(arguments[2]), StandardCharsets.UTF_8)) {
            events.add(line.getBytes(StandardCharsets.UTF_8));
        }
        int rounds = Integer.parseInt(arguments[3]);
        Machine machine = new Machine();
        long begun = System.nanoTime();
        for (String rule : rules) {
            String[] parts = rule.split("\t");
            machine.addRule(parts[0], parts[1]);
        }
        System.err.printf("added %d rules in %.1f s%n", rules.size(), (System.nanoTime() - begun) / 1e9);
        for (int round = 0; round < rounds; round++) {
            route(machine, events, slice(changes, round, rounds));
        }
    }

    /** The changes of one round: its share, so that every round changes as many. */
    private static List<String> slice(List<String> changes, int round, int rounds) {
        return changes.subList(changes.size() * round / rounds, changes.size() * (round + 1) / rounds);
    }

    private static void route(Machine machine, List<byte[]> events, List<String> changes) throws Exception {
        long matches = 0;
        int changed = 0;
        ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        long begun = threads.getCurrentThreadCpuTime();
        for (int i = 0; i < events.size(); i++) {
            while ((long) changed * events.size() < (long) i * changes.size()) {
                String[] parts = changes.get(changed++).split("\t");
                machine.deleteRule(parts[0], parts[1]);
                machine.addRule(parts[0], parts[2]);
            }
            matches += machine.rulesForJSONEvent(new String(events.get(i), StandardCharsets.UTF_8)).size();
        }
        double seconds = (threads.getCurrentThreadCpuTime() - begun) / 1e9;
        System.out.printf(
                java.util.Locale.ROOT, "{\"rate\": %.0f, \"matches\": %d}%n", events.size() / seconds, matches);
        System.out.flush();
    }
}
