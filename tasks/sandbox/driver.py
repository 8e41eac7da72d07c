# Runs one program and its checks inside the sandbox, and tells the supervisor outside what came of it.
#
# The program and the checks share an interpreter, as they must: a check calls the program's functions. What keeps the
# program from passing without passing:
#  - It is the supervisor that decides. It wants the answer to a challenge which it sends only after the driver said that
#    the checks ended, so nothing that is printed, returned or exited with counts, and no secret lies in this process
#    while the program runs. The answer is the challenge reversed: copying descriptors to one another is no answer.
#  - Time, memory and output are measured and cut off from outside; there is no timer here to be caught or disarmed.
#  - The checks are compiled before the program runs, and run with the builtins as they were; a global of the program
#    that bears a builtin's name is hidden from them unless it is what they test.
#  - Everything that the driver uses afterwards is held in its locals.
# What can not be excluded: objects that claim to equal everything, patched functions of modules that the checks import,
# and a program that knows this driver and plays its part.
def drive():
    import builtins, posix, sys

    read, write, leave, run, build = posix.read, posix.write, posix._exit, exec, compile
    error_type, text_type, type_of, number, mapping, size = BaseException, str, type, int.from_bytes, dict, len
    stop_tracing, stop_profiling, process = sys.settrace, sys.setprofile, posix.getpid
    request, report, own_process = 3, 4, posix.getpid()

    def receive(count):
        got = b""
        while size(got) < count:
            piece = read(request, count - size(got))
            if not piece:
                leave(3)
            got += piece
        return got

    def send(data):
        while data:
            data = data[write(report, data):]

    def receive_part():
        return receive(number(receive(4), "little"))

    def text_of(part):
        return part.decode("utf-8", "surrogatepass")

    def describe(error):
        try:
            name = type_of(error).__name__
        except error_type:
            return b"X"
        try:
            name = name + ": " + text_type(error)[:200]
        except error_type:
            pass
        try:
            return b"X" + name.encode("utf-8", "backslashreplace")[:400]
        except error_type:
            return b"X"

    sys.path[:] = [place for place in sys.path if place]
    del sys.modules["__main__"].drive
    send(b"R")
    kind, source, checks, tested = receive(1), receive_part(), receive_part(), receive_part()
    send(b"S")  # the job is here; nothing of it has run
    try:
        source, checks, tested = text_of(source), text_of(checks), text_of(tested).split("\n")
        if kind == b"T":  # a tool of ours on a text: `checks` holds the text
            space = {"text": checks}
            run(build(source, "<tool>", "exec", dont_inherit=True), space)
            answer = space["result"].encode("utf-8", "surrogatepass")
            send(b"V" + size(answer).to_bytes(4, "little") + answer)
            leave(0)
        pristine = mapping(builtins.__dict__)
        checks_code = build(checks, "<checks>", "exec", dont_inherit=True)
        space = {}
        run(build(source, "<program>", "exec", dont_inherit=True), space)
        stop_tracing(None)
        stop_profiling(None)
        check_space = {name: value for name, value in space.items() if name not in pristine or name in tested}
        check_space["__builtins__"] = pristine
        run(checks_code, check_space)
    except error_type as error:
        if process() == own_process:
            send(describe(error))
        leave(1)
    if process() != own_process:  # a child that the program left running: its parent speaks
        leave(0)
    send(b"E")
    challenge = receive(16)
    send(b"A" + challenge[::-1])
    leave(0)


drive()
