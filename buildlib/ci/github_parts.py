"""The jobs of GitHub's workflow that divide the work by arch: each compiles its arch once, and `merge` or `publish` joins the parts.

The binaries of a part go from job to job as an artifact, so that images have the bytes that were tested. Names in @…@ are replaced
by `github.workflow`.
"""

TEST = """\
      - run: buildlib build --shard ${{ matrix.shard }}
      - run: buildlib test --shard ${{ matrix.shard }}
"""

PART = """\
      - uses: @UPLOAD@
        with:
          name: part-${{ matrix.arch }}
          path: @FOLDER@
"""

IMAGES = """
  # Each platform's image is pushed by digest, checked and started. No tag is moved.
  images:
    needs: [plan, test]
    if: github.event_name == 'push'
    strategy:
      fail-fast: false
      matrix:
        include: ${{ fromJSON(needs.plan.outputs.tests) }}
    runs-on: @RUNS_ON@
    timeout-minutes: 90
    permissions:
      contents: read
@PACKAGES@    steps:
@BEGIN@      - uses: @DOWNLOAD@
        with:
          name: part-${{ matrix.arch }}
          path: @FOLDER@
      - run: @INSTALL@
      - run: buildlib setup --yes --arch ${{ matrix.arch }}
@LOGIN@      - run: buildlib image --push --no-build --shard ${{ matrix.shard }}
@SECRETS@      - run: buildlib smoke --shard ${{ matrix.shard }}
      - uses: @UPLOAD@
        with:
          name: part-${{ matrix.arch }}
          path: @FOLDER@
          overwrite: true
"""

BEGIN_MERGE = """\
@BEGIN@      - uses: @DOWNLOAD@
        with:
          pattern: part-*
          path: ${{ runner.temp }}/parts
      - run: @INSTALL@
"""
END_MERGE = """\
      - run: buildlib report
      - uses: @UPLOAD@
        with:
          name: dist
          path: @FOLDER@
@ALL_REPORTS@"""

MERGE = """
  # All parts are checked again.
  merge:
    needs: [test]
@NOT_PUBLISHED@    runs-on: @RUNNER@
    timeout-minutes: 30
    concurrency: @NAME@-merge-${{ github.ref }}
    steps:
@BEGIN_MERGE@      - run: buildlib merge "$RUNNER_TEMP/parts"
@END_MERGE@"""

NOT_PUBLISHED = "    if: github.event_name != 'push'\n"

# `checks` is skipped where noxfile.py has no such session. Without a function of the status that would skip this job too.
PUBLISH = """
  # All parts are checked again. Then one index joins the images of all platforms, and the tags are moved to it.
  publish:
    needs: [checks, test, images]
    if: ${{ github.event_name == 'push' && !cancelled() && !failure() }}
    runs-on: @RUNNER@
    timeout-minutes: 30
    permissions:
      contents: read
@PACKAGES@@ID_TOKEN@    concurrency: @NAME@-publish-${{ github.ref }}
    steps:
@BEGIN_MERGE@@LOGIN@      - run: buildlib merge "$RUNNER_TEMP/parts"@RESULT@
@SIGNING@@KEYLESS@@END_MERGE@"""

ALL_REPORTS = """\
      - uses: @UPLOAD@
        with:
          name: reports
          path: @OUTPUT@/reports
"""
