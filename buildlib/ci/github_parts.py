"""The jobs of GitHub's workflow that divide the work by arch: each compiles its arch once, and `merge` joins the parts.

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

PERMISSIONS = """\
    permissions:
      contents: read
@PACKAGES@@ID_TOKEN@"""

MERGE = """
  # All parts are checked again@TAGGING@.
  merge:
    needs: [@NEEDS@]
@IF@    runs-on: @RUNNER@
    timeout-minutes: 30
@PERMISSIONS@    concurrency: @NAME@-merge-${{ github.ref }}
    steps:
@BEGIN@      - uses: @DOWNLOAD@
        with:
          pattern: part-*
          path: @PREFIX@parts
      - run: @INSTALL@
@WITH_LOGIN@      - run: buildlib merge parts/*@RESULT@
@SIGNING@@KEYLESS@      - run: buildlib report
      - uses: @UPLOAD@
        with:
          name: dist
          path: @FOLDER@
@ALL_REPORTS@"""

TAGGING = ". Then one index joins the images of all platforms, and the tags are moved to it"
IF = "    if: ${{ !cancelled() && !failure() }} # a pull request has no images\n"

ALL_REPORTS = """\
      - uses: @UPLOAD@
        with:
          name: reports
          path: @OUTPUT@/reports
"""
