# A tool of the sandbox: the program in a text of a model. `text` is the name that is tested, a line end, and the text;
# `result` the program. See tasks/code_problem.h for the rules.
import ast

MOST_LINES = 100


def parsed(code):
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def longest_python(code):
    """The tree of the line range with the most lines that are not blank; the first of several."""
    lines = code.split("\n")[:MOST_LINES]
    filled = [0]
    for line in lines:
        filled.append(filled[-1] + (1 if line.strip() else 0))
    ranges = [(filled[start] - filled[end], start, end) for start in range(len(lines))
              for end in range(start + 1, len(lines) + 1)]
    for _, start, end in sorted(ranges):
        tree = parsed("\n".join(lines[start:end]))
        if tree is not None:
            return tree
    return ast.Module(body=[], type_ignores=[])


class Uses(ast.NodeVisitor):
    """Identifiers and attribute names; what an attribute is taken of is not looked at."""

    def __init__(self):
        self.names = set()

    def visit_Name(self, node):
        self.names.add(node.id)

    def visit_Attribute(self, node):
        self.names.add(node.attr)


def names_defined(node):
    if isinstance(node, ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.FunctionDef):
        returns = any(isinstance(inner, ast.Return) for inner in ast.walk(node))
        return [node.name] if returns else []
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def reachable(definitions, entry):
    uses = {}
    for node, names in definitions:
        visitor = Uses()
        visitor.visit(node)
        for name in names:
            uses.setdefault(name, set()).update(visitor.names)
    found, open_names = {entry}, [entry]
    while open_names:
        for name in uses.get(open_names.pop(), ()):
            if name not in found:
                found.add(name)
                open_names.append(name)
    return found


def sanitised(entry, code):
    code = code.replace("\r\n", "\n").replace("\t", "    ").strip()
    body = longest_python(code).body
    definitions = [(node, names_defined(node)) for node in body]
    found = reachable(definitions, entry)
    kept = [node for node, names in definitions
            if isinstance(node, (ast.Import, ast.ImportFrom)) or any(name in found for name in names)]
    return ast.unparse(ast.Module(body=kept, type_ignores=[]))


result = sanitised(*text.split("\n", 1))
