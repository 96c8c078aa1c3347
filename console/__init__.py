"""The console: pages for operators, in a browser, rendered here; every page works without JavaScript.

A process of its own, `nrc console`. It reads registry and ledger, and asks the router, as commands do; what
an operator does in it goes through the same functions as a command (operating/). Texts of pages are in Dutch.

    service.py    the process from start to stop
    app.py        the application: routes, the middleware that all requests pass, headers
    serving.py    one request of a page: login, role, form, the page's function, its answer
    page.py       what a page is made of: Page, Visit, Show, Redirect, Download, Live
    access.py     which role may see which page and do which action: the one table
    forms.py      reading forms: their token, their fields
    rendering.py  templates, and what all of them may use
    streaming.py  server-sent events of a page: how many at once, and how they end
    styles.py     the style sheets
    state.py      what the process has open
    login/        logging in and out: passwords, sessions, lock-out
    showing/      charts
    pages/        one module for each page
    templates/    base.html; pages/: one for each page; macros/: tables, forms and other parts
    static/       style sheets: huisstijl.css (colours and sizes), console.css (layout), beheer.css,
                  notificaties.css and nl-design-system.css; scripts: live.js

To add a page, say Kanalen:

1. `pages/kanalen.py` with a function that gives what the template shows, and the page:

        @dataclass(frozen=True, slots=True)
        class Kanalen:
            rows: Sequence[Row]

        async def show(visit: Visit) -> Kanalen:
            return Kanalen([...visit.console.catalogue.kanalen...])

        async def remove(visit: Visit, form: Form) -> Answer:
            naam = form.text("naam")
            ...
            await visit.log.record("kanaal removed", kanaal=naam, why=form.text("waarom"))
            return Redirect("kanalen/", said=f"Kanaal {naam} is verwijderd.")

        PAGE = Page("kanalen", "kanalen/", "Kanalen", "kanalen.html", show, actions={"verwijderen": remove})

2. `templates/pages/kanalen.html`, which extends base.html, and has what `show` gave as `view`; the parts that
   it needs are in `macros/`. A form that does an action is `{% call forms.form("verwijderen") %}`.
3. A line in the list PAGES of `pages/__init__.py`: its place there is its place in the navigation.
4. A line in `access.py` for the page, and one for each action: `kanalen` and `kanalen/verwijderen`.

A page of one thing (`kanalen/{naam}/`) is a Page with `under="kanalen"`: it is not in the navigation. For
what is wrong with a form raise `Refused` with a Dutch sentence that says what to do; for what is not there,
NotFound.
"""
