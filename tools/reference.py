#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The reference of the public headers and of the Python package: doxygen reads the headers, tools/python_reference.py asks
the built package, Sphinx (breathe) makes build/reference/html. Warnings of all are errors.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "reference")
INCLUDE = os.path.join(BUILD, "include")
PAGES = os.path.join(BUILD, "pages")
TITLES = {"": "Everything", "core": "Tensors and their parts", "ops": "Ops", "autograd": "Gradients",
          "graph": "Compiled functions", "nn": "Networks", "io": "Files", "dataset": "Data", "train": "Training",
          "debug": "Debugging", "profile": "Profiling", "dist": "Several processes", "export": "Exchange of models"}


def run(*command, env=None):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", cwd=ROOT, check=False, env=env)
    if done.returncode != 0:
        sys.exit(f"reference: {command[0]} failed:\n{done.stdout[-8000:]}")


def headers():
    found = []
    for folder, _, names in os.walk(os.path.join(INCLUDE, "rutile")):
        found += [os.path.relpath(os.path.join(folder, n), os.path.join(INCLUDE, "rutile")) for n in names]
    return sorted(n for n in found if n.endswith(".h") and n != "rutile.h")


def heading(text, mark):
    return f"{text}\n{mark * len(text)}\n\n"


def write(name, text):
    path = os.path.join(PAGES, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def namespace_members():
    """File -> the functions, enumerations, types and constants that it declares in namespaces."""
    folder = os.path.join(BUILD, "xml")
    found = {}
    for name in sorted(os.listdir(folder)):
        if not name.startswith("namespace"):
            continue
        for member in ElementTree.parse(os.path.join(folder, name)).iter("memberdef"):
            if member.get("kind") == "define" or "detail" in member.findtext("qualifiedname", ""):
                continue
            member.find("name").text = member.findtext("qualifiedname") or member.findtext("name")
            start = member.find("initializer")
            if start is not None and "{" in "".join(start.itertext()):  # lambdas are more than Sphinx can read
                member.remove(start)
            found.setdefault(member.find("location").get("file"), []).append(member)
    return found


def members_to_files():
    """Each file gets its members in place of its namespaces, which every file would declare again; macros go."""
    folder = os.path.join(BUILD, "xml")
    members = namespace_members()
    for name in os.listdir(folder):
        if not name.endswith("_8h.xml"):
            continue
        tree = ElementTree.parse(os.path.join(folder, name))
        compound = tree.getroot().find("compounddef")
        for child in list(compound):
            if child.tag == "innernamespace" or child.get("kind") == "define":
                compound.remove(child)
        section = ElementTree.Element("sectiondef", kind="func")
        section.extend(members.get(compound.find("location").get("file"), []))
        if len(section):
            compound.insert(list(compound).index(compound.find("briefdescription")), section)
        tree.write(os.path.join(folder, name), encoding="utf-8", xml_declaration=True)


def python_pages():
    """Those of the package in build/<preset>/python; what it prints. Without one there are none."""
    package = os.path.join(ROOT, "build", os.environ.get("PRESET", "release"), "python")
    if not glob.glob(os.path.join(package, "rutile", "_rutile*.so")):
        print("reference: the Python package is not built: only headers")
        return False
    run(os.path.join(ROOT, ".venv", "bin", "python"), os.path.join("tools", "python_reference.py"), os.path.join(PAGES, "python"),
        env={**os.environ, "PYTHONPATH": package})
    return True


def write_pages(names):
    """A page for each header, by folder."""
    folders = {}
    for name in names:
        folders.setdefault(name.split("/")[0], []).append(name)
    index = heading("Rutile", "=") + "The public headers; ``#include <rutile/rutile.h>`` brings all of them.\n\n"
    for folder, members in folders.items():
        index += f".. toctree::\n   :maxdepth: 1\n   :caption: {TITLES.get(folder, folder)}\n\n"
        for name in members:
            page = re.sub(r"\.h$", "", name)
            index += f"   {page}\n"
            # A C header says "typedef struct x x", which Sphinx takes for two of a name: it is shown as it is.
            content = f".. literalinclude:: ../../include/rutile/{name}\n   :language: c\n" if name == "ops/c_api.h" \
                else f".. doxygenfile:: rutile/{name}\n"
            write(page + ".rst", heading(f"rutile/{name}", "=") + content)
        index += "\n"
    if python_pages():
        index += ".. toctree::\n   :maxdepth: 2\n   :caption: Python\n\n   python/index\n"
    write("index.rst", index)
    write("conf.py", "project = 'Rutile'\nextensions = ['breathe']\nhtml_theme = 'alabaster'\n"
                     f"breathe_projects = {{'rutile': {os.path.join(BUILD, 'xml')!r}}}\n"
                     "breathe_default_project = 'rutile'\nprimary_domain = 'cpp'\nhighlight_language = 'cpp'\n"
                     # The whole table of contents on every page would take most of the time.
                     "html_sidebars = {'**': ['about.html', 'localtoc.html', 'relations.html', 'searchbox.html']}\n")


def main():
    for tool in ("doxygen", "/usr/bin/sphinx-build"):
        if not shutil.which(tool):
            sys.exit(f"reference: {tool} is missing (make setup)")
    shutil.rmtree(BUILD, ignore_errors=True)
    os.makedirs(BUILD)
    run("cmake", f"-DRUTILE_SOURCE={ROOT}", f"-DRUTILE_INCLUDE_DIR={INCLUDE}/rutile", "-P",
        os.path.join("cmake", "package", "headers.cmake"))
    with open(os.path.join(ROOT, "docs/reference/Doxyfile.in"), encoding="utf-8") as file:
        text = file.read()
    for name, value in (("OUTPUT", BUILD), ("INCLUDE", INCLUDE),
                        ("FILTER", os.path.join(ROOT, "docs/reference/doxygen_filter.py"))):
        text = text.replace(f"@{name}@", value)
    write("../Doxyfile", text)
    run("doxygen", os.path.join(BUILD, "Doxyfile"))
    members_to_files()
    names = headers()
    write_pages(names)
    run("/usr/bin/sphinx-build", "-q", "-W", "--keep-going", "-j", "auto", "-b", "html", PAGES, os.path.join(BUILD, "html"))
    print(f"reference: {len(names)} headers, build/reference/html/index.html")


if __name__ == "__main__":
    main()
