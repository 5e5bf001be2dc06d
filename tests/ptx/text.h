// PTX text: into statements, and these into words.
#pragma once

#include <algorithm>
#include <map>
#include <sstream>
#include <vector>

#include "values.h"

namespace ptx {

// Without its semicolon; a brace or a label, which ends with a colon, is one as well.
struct Statement {
    int line;
    std::string text;

    [[noreturn]] void refuse(const std::string& what) const
    {
        throw Error("line " + std::to_string(line) + ": " + what + ": " + text);
    }
};

inline std::string trimmed(const std::string& s)
{
    const auto begin = s.find_first_not_of(" \t\r\n"), end = s.find_last_not_of(" \t\r\n");
    return begin == std::string::npos ? "" : s.substr(begin, end - begin + 1);
}

// Parts of a text between separators that are in no brackets.
inline std::vector<std::string> parted(const std::string& s, char separator)
{
    std::vector<std::string> parts;
    std::string part;
    int depth = 0;
    for (char c : s) {
        depth += std::strchr("{[(", c) ? 1 : std::strchr("}])", c) ? -1 : 0;
        if (c == separator && depth == 0) {
            parts.push_back(trimmed(part));
            part.clear();
        } else {
            part += c;
        }
    }
    if (!trimmed(part).empty()) parts.push_back(trimmed(part));
    return parts;
}

// What is within a text's brackets.
inline std::string inside_brackets(const std::string& s) { return trimmed(s.substr(1, s.size() - 2)); }

inline std::string without_comments(std::string s)
{
    for (std::size_t at; (at = s.find("//")) != std::string::npos;) s.erase(at, s.find('\n', at) - at);
    if (s.find("/*") != std::string::npos) throw Error("a comment of several lines");
    return s;
}

inline std::vector<Statement> statements_of(const std::string& source)
{
    std::vector<Statement> all;
    std::string text;
    int line = 1, begin = 1, open = 0;  // braces of operands
    const auto end = [&](const std::string& more) {
        all.push_back({begin, trimmed(text) + more});
        text.clear();
    };
    for (char c : without_comments(source)) {
        const bool is_empty = text.empty();
        const auto is_header = [&] { return text[0] == '.' && text.find('=') == std::string::npos; };
        if (is_empty) begin = line;
        line += c == '\n';
        if (is_empty && std::strchr(" \t\r\n", c)) continue;
        if (c == ';') {
            end("");
        } else if (c == ':' && open == 0) {
            end(":");
        } else if (c == '{' && (is_empty || is_header())) {
            if (!is_empty) end("");
            all.push_back({line, "{"});
        } else if (c == '}' && is_empty) {
            all.push_back({line, "}"});
        } else {
            open += c == '{' ? 1 : c == '}' ? -1 : 0;
            text += c;
        }
    }
    if (!text.empty()) all.push_back({begin, trimmed(text)});
    return all;
}

// A declaration such as ".shared .align 8 .b8 name[2720]".
struct Declared {
    std::string name;
    int bytes = 0, align = 1;
};

inline Declared declared(const Statement& s, const std::string& text)
{
    std::istringstream words(text);
    Declared d;
    Type type;
    for (std::string word; words >> word;) {
        if (word == ".align")
            words >> d.align;
        else if (word[0] != '.')
            d.name = word;
        else if (type_named(word.substr(1)).kind)
            type = type_named(word.substr(1));
    }
    const auto bracket = d.name.find('[');
    d.bytes = type.size * (bracket == std::string::npos ? 1 : std::atoi(d.name.c_str() + bracket + 1));
    d.name = d.name.substr(0, bracket);
    d.align = std::max(d.align, type.size);
    if (d.name.empty() || d.bytes <= 0) s.refuse("a declaration that is not understood");
    return d;
}

struct Function {
    bool is_entry = false;
    int most_threads = 1024;
    std::vector<Declared> results, parameters;
    std::vector<Statement> body;
};

inline std::vector<Declared> all_declared(const Statement& s, const std::string& list)
{
    std::vector<Declared> all;
    for (const std::string& each : parted(list, ',')) all.push_back(declared(s, each));
    return all;
}

// The name and the signature of a function, from what stands before its body; no name of anything else.
inline std::string header(const Statement& s, Function& f)
{
    const auto entry = s.text.rfind(".entry"), func = s.text.rfind(".func");
    f.is_entry = entry != std::string::npos;
    if (!f.is_entry && func == std::string::npos) return "";
    std::string rest = trimmed(s.text.substr(f.is_entry ? entry + 6 : func + 5));
    if (rest[0] == '(') {
        const auto close = rest.find(')');
        f.results = all_declared(s, inside_brackets(rest.substr(0, close + 1)));
        rest = trimmed(rest.substr(close + 1));
    }
    const auto open = rest.find('('), close = rest.find(')');
    if (open != std::string::npos) f.parameters = all_declared(s, inside_brackets(rest.substr(open, close - open + 1)));
    const auto bound = rest.find(".maxntid");
    if (bound != std::string::npos) {
        f.most_threads = 1;
        std::string sizes = trimmed(rest.substr(bound + 8));
        for (const std::string& n : parted(sizes.substr(0, sizes.find('.')), ',')) f.most_threads *= std::stoi(n);
    }
    return trimmed(rest.substr(0, rest.find_first_of("( \t\r\n")));
}

// Kernels and functions by their names. Variables outside these are known to none of them.
inline std::map<std::string, Function> functions_of(const std::string& source)
{
    std::map<std::string, Function> all;
    Function f;
    std::string name;
    int depth = 0;
    for (const Statement& s : statements_of(source)) {
        if (s.text == "{" && depth++ == 0) continue;
        if (s.text == "}" && --depth == 0) {
            all[name] = f;
        } else if (depth > 0) {
            f.body.push_back(s);
        } else {
            f = Function();  // whatever was declared alone
            name = header(s, f);
        }
    }
    return all;
}

}  // namespace ptx
