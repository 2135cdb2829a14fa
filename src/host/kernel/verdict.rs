//! libbpf's message about a program that the verifier rejects → the verifier's log, and its lines that tell the
//! reason. Pure.
//!
//! Up to Linux 6.18, the reason is the last line but one; the last line counts instructions. Newer kernels add a
//! report between these two. It begins with `Verification failed:`, and has the sections `Reason:`, `At:` and
//! `Suggestion:` (kernel/bpf/diagnostics.c; seen on 7.3).

/// The number of lines of the log that an error shows.
const LAST_LINES: usize = 4;

/// The verifier's log, if the message contains one.
pub(super) fn log(message: &str) -> Option<Vec<String>> {
    let (_, log) = message.split_once("-- BEGIN PROG LOAD LOG --\n")?;
    let log = log.split("-- END PROG LOAD LOG --").next().unwrap_or(log);
    Some(log.lines().map(str::to_owned).collect())
}

/// The lines that tell the reason: the last lines of the log, and the section `Reason:` of the report.
pub(super) fn last_lines(log: &[String]) -> Vec<&str> {
    let begins = |start: &'static str| move |line: &String| line.starts_with(start);
    let report = log.iter().position(begins("Verification failed: "));
    let end = report.or_else(|| log.iter().rposition(begins("Suggestion:"))).unwrap_or(log.len());
    let (before, report) = log.split_at(end);
    let says_something = |line: &&str| !line.trim().is_empty() && !line.starts_with("processed ");
    let before: Vec<&str> = before.iter().map(String::as_str).filter(says_something).collect();
    let first = before.len().saturating_sub(LAST_LINES);
    before.into_iter().skip(first).chain(section(report, "Reason:")).collect()
}

/// The last lines without those that show an instruction, source code or a state.
pub(super) fn reasons(log: &[String]) -> Vec<&str> {
    let is_instruction = |line: &str| {
        line.split_once(": ")
            .is_some_and(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut lines = last_lines(log);
    lines.retain(|line| !line.starts_with(';') && !is_instruction(line));
    lines
}

/// The suggestion of the report, in one line.
pub(super) fn suggestion(log: &[String]) -> Option<String> {
    let lines = section(log, "Suggestion:");
    (!lines.is_empty()).then(|| lines.join(" "))
}

/// The indented lines that follow the last line with this title.
fn section<'a>(log: &'a [String], title: &str) -> Vec<&'a str> {
    let Some(at) = log.iter().rposition(|line| line.trim_end() == title) else { return Vec::new() };
    let lines = log.iter().skip(at + 1).map(String::as_str);
    lines.take_while(|line| line.starts_with("  ")).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
arg#0 reference type('UNKNOWN ') size cannot be determined: -22
0: R1=ctx() R10=fp0
; if (!ctx->task) @ rejected.bpf.c:11
0: (79) r2 = *(u64 *)(r1 +8)          ; R2_w=trusted_ptr_or_null_task_struct(id=1)
1: (15) if r2 == 0x0 goto pc+6
2: (61) r3 = *(u32 *)(r1 +16)
R1 invalid mem access 'trusted_ptr_or_null_'
";

    const LAST: [&str; 4] = [
        "0: (79) r2 = *(u64 *)(r1 +8)          ; R2_w=trusted_ptr_or_null_task_struct(id=1)",
        "1: (15) if r2 == 0x0 goto pc+6",
        "2: (61) r3 = *(u32 *)(r1 +16)",
        "R1 invalid mem access 'trusted_ptr_or_null_'",
    ];

    const PROCESSED: &str = "processed 5 insns (limit 1000000) max_states_per_insn 0\n";

    const REPORT: &str = "
Verification failed: Register Type Safety: Invalid dereference

Reason:
  R1 may be NULL here (a nullable kernel object pointer). The program could dereference NULL on this
  path, so the verifier cannot prove this access is safe.

At:
  dump @ rejected.bpf.c:12:3
  Source context:
    >>> 12 | use(ctx->task)
  Instruction context:
    >>> 2 | r3 = *(u32 *)(r1 +16)

Suggestion:
  Check the pointer for NULL before it is used,
  on every path.

";

    #[track_caller]
    fn check(text: &str, expected: &[&str], suggested: Option<&str>) {
        let message = format!(
            "prog 'dump': BPF program load failed: -EACCES\n-- BEGIN PROG LOAD LOG --\n{text}-- END PROG \
             LOAD LOG --"
        );
        let log = log(&message).expect("it is a log");
        assert_eq!(last_lines(&log), expected);
        assert_eq!(suggestion(&log).as_deref(), suggested);
    }

    #[test]
    fn the_line_that_counts_instructions_is_not_a_reason() {
        check(&format!("{TRACE}{PROCESSED}"), &LAST, None);
        check(TRACE, &LAST, None);
        check("R1 invalid mem access\n", &["R1 invalid mem access"], None);
        check("", &[], None);
    }

    #[test]
    fn the_lines_before_the_report_of_newer_kernels_are_found() {
        let reason = [
            "R1 may be NULL here (a nullable kernel object pointer). The program could dereference NULL on this",
            "path, so the verifier cannot prove this access is safe.",
        ];
        let suggested = Some("Check the pointer for NULL before it is used, on every path.");
        check(&format!("{TRACE}{REPORT}{PROCESSED}"), &[&LAST[..], &reason].concat(), suggested);
    }

    #[test]
    fn the_lines_before_a_suggestion_without_a_report_are_found() {
        let suggestion = "\nSuggestion:\n  Check the pointer.\n\n";
        check(&format!("{TRACE}{suggestion}{PROCESSED}"), &LAST, Some("Check the pointer."));
    }

    #[test]
    fn lines_with_instructions_or_source_are_not_reasons() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(reasons(&lines(TRACE)), ["R1 invalid mem access 'trusted_ptr_or_null_'"]);
        let helper = "\
0: (79) r2 = *(u64 *)(r1 +8)          ; R2_w=trusted_ptr_or_null_task_struct(id=1)
; if (!task || bpf_probe_read_kernel(&pid, sizeof(pid), &task->pid)) @ probe_read.bpf.c:11
8: (85) call bpf_probe_read#4
program of this type cannot use helper bpf_probe_read#4
";
        assert_eq!(
            reasons(&lines(helper)),
            ["program of this type cannot use helper bpf_probe_read#4"]
        );
    }

    #[test]
    fn a_message_without_a_log_has_none() {
        assert_eq!(log("kernel BTF is missing"), None);
    }
}
